/** Faults in what holds where the backplane loses or refuses something, where bytes come late, and where nodes are taken for dead. */
import { MemorySession } from '../../../src/backplane/memory/session.js';
import { Executors } from '../../../src/backplane/memory/executors.js';
import { Routes } from '../../../src/backplane/memory/routes.js';
import { NodeWatch } from '../../../src/cluster/node-watch.js';
import { BegunStreams } from '../../../src/session/begun-streams.js';
import { LiveSession } from '../../../src/session/live.js';
import { Sessions } from '../../../src/session/sessions.js';
import { LogHorizon } from '../../../src/stream/log-horizon.js';
import { SimMembership } from '../backplane.js';
import { Link } from '../link.js';
import type { Mutant } from './mutant.js';
import { methodsOf } from './mutant.js';

export const FAILURE_MUTANTS: Mutant[] = [
  {
    name: 'a node that cannot hold its own lease declares others dead',
    plant() {
      const original = methodsOf(SimMembership.prototype);
      SimMembership.prototype.alive = async function (nodeIds) {
        const alive = await original.alive.call(this, nodeIds);
        return alive.add(this['options'].nodeId);
      };
      SimMembership.prototype.steadySince = () => 0;
    },
  },
  {
    name: 'one look is a death',
    plant() {
      const original = methodsOf(NodeWatch.prototype);
      NodeWatch.prototype['look'] = async function (nodeIds) {
        const sights = await original['look'].call(this, nodeIds);
        for (const [nodeId, sight] of sights) if (sight === 'missing') sights.set(nodeId, 'dead');
        return sights;
      };
    },
  },
  {
    name: 'a call that arrives late takes effect',
    plant() {
      Link.prototype['fence'] = () => undefined;
    },
  },
  {
    name: 'a request is begun again where the backplane does not know that it was begun',
    setting: { affinity: 'owner' },
    plant() {
      BegunStreams.prototype.begin = (_sessionId, _stream, start) => start();
    },
  },
  {
    name: 'a request that is about to be run again is ended by a check',
    setting: { recovery: 'rerun-idempotent' },
    plant() {
      BegunStreams.prototype.isStarting = () => false;
    },
  },
  {
    name: 'a repeated cancellation reaches no node',
    setting: { affinity: 'owner' },
    plant() {
      const original = methodsOf(Routes.prototype);
      Routes.prototype.follow = function (operation, step) {
        const isRepeat = step.repeated && operation.route.to === 'executor';
        const parts = { ...this['parts'], ...(isRepeat && { tell: () => undefined }) };
        return original.follow.call(Object.assign(Object.create(this), { parts }), operation, step);
      };
    },
  },
  {
    name: 'a repeated `initialized` reaches the server again',
    plant() {
      Routes.prototype['madeBy'] = () => undefined;
    },
  },
  {
    name: 'a node learns of the end of a session by the message of it only',
    plant() {
      const original = methodsOf(Sessions.prototype);
      let isMessage = false;
      Sessions.prototype.onMessage = function (message) {
        isMessage = true;
        original.onMessage.call(this, message);
        isMessage = false;
      };
      Sessions.prototype.end = function (sessionId) {
        if (isMessage) original.end.call(this, sessionId);
      };
    },
  },
  {
    name: 'a handler goes on though another node has taken its request over',
    plant() {
      LiveSession.prototype.taken = () => undefined;
    },
  },
  {
    name: 'a former owner is still heard',
    setting: { affinity: 'owner' },
    plant() {
      Executors.prototype['succeed'] = function (step, dead) {
        return this.ownerUnless(step, dead);
      };
    },
  },
  {
    name: 'revisions are counted only, and so come again after a failover',
    plant() {
      const countOf = (revision: string | undefined) => revision?.split('.')[0];
      MemorySession.prototype['check'] = function (known, step) {
        if (known === undefined) this.replicas.add(step.nodeId);
        if (countOf(known) !== countOf(this['stored'].revision)) step.stale = true;
      };
      const reshaped = LiveSession.prototype['reshaped'];
      LiveSession.prototype.reshaped = async function (revision, message) {
        const isKnown = message === undefined && countOf(this.revision) === countOf(revision);
        if (!isKnown) await reshaped.call(this, revision, message);
      };
    },
  },
  {
    name: 'log ids begin again where the clock of a new master is behind',
    plant() {
      LogHorizon.prototype.saw = () => undefined;
    },
  },
];
