/** Faults in what holds where the backplane loses something, where a session ends, and where nodes are taken for dead. */
import { Executors } from '../../../src/backplane/memory/executors.js';
import { NodeWatch } from '../../../src/cluster/node-watch.js';
import { BegunStreams } from '../../../src/session/begun-streams.js';
import { LiveSession } from '../../../src/session/live.js';
import { Sessions } from '../../../src/session/sessions.js';
import { SimMembership } from '../backplane.js';
import type { Mutant } from './mutant.js';
import { methodsOf } from './mutant.js';

export const FAILURE_MUTANTS: Mutant[] = [
  {
    name: 'one look is a death, also right after an outage',
    plant() {
      const original = methodsOf(NodeWatch.prototype);
      NodeWatch.prototype['look'] = async function (nodeIds) {
        const sights = await original['look'].call(this, nodeIds);
        for (const [nodeId, sight] of sights) if (sight === 'missing') sights.set(nodeId, 'dead');
        return sights;
      };
      SimMembership.prototype.steadySince = () => 0;
    },
  },
  {
    name: 'a request is begun again where the backplane does not know that it was begun',
    setting: { affinity: 'owner' },
    plant() {
      BegunStreams.prototype.begin = (_orphan, start) => start();
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
];
