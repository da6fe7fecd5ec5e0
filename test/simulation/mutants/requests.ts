/** Faults in how requests, and other messages of clients, are handled. */
import { StreamExecutors } from '../../../src/backplane/memory/stream-executors.js';
import { StreamHolders } from '../../../src/backplane/memory/stream-holders.js';
import { RequestOpenings } from '../../../src/backplane/memory/request-openings.js';
import { StoredSession } from '../../../src/backplane/memory/stored-session.js';
import type { Route } from '../../../src/backplane/backplane.js';
import { OwnerHandover } from '../../../src/execution/ownership/owner-handover.js';
import { OutgoingRequests } from '../../../src/replica/requests/outgoing-requests.js';
import type { JsonRpcResponse } from '../../../src/protocol/json/jsonrpc.js';
import { LiveSession } from '../../../src/replica/live-session.js';
import type { Mutant } from './mutant.js';
import { methodsOf } from './mutant.js';

/** Lets messages with this route stay on the node that they reach. */
function staysHere(to: Route['to']): () => void {
  return () => {
    const original = methodsOf(StoredSession.prototype);
    StoredSession.prototype['receive'] = function (operation, step) {
      const route = operation.route.to === to ? { to: 'here' as const } : operation.route;
      return original['receive'].call(this, { ...operation, route }, step);
    };
  };
}

export const REQUEST_MUTANTS: Mutant[] = [
  { name: 'a cancellation stays on the node that it reaches', plant: staysHere('executor') },
  { name: 'an answer stays on the node that it reaches', plant: staysHere('node') },
  {
    name: 'a node does not get the record when its replica is behind',
    from: 11,
    plant() {
      const original = methodsOf(StoredSession.prototype);
      StoredSession.prototype.registerReplica = function (known, step) {
        if (known === undefined) original.registerReplica.call(this, known, step);
      };
    },
  },
  {
    name: 'a node becomes the owner of a session that another node owns',
    plant() {
      const original = methodsOf(StreamExecutors.prototype);
      StreamExecutors.prototype.takeOwnershipIfFree = function (step) {
        return original.takeOwnershipIfFree.call(this, step, this['session'].stored.owner);
      };
    },
  },
  {
    name: 'a request is handed to its owner only once',
    from: 38,
    plant() {
      const asked = new WeakSet();
      const original = methodsOf(OwnerHandover.prototype);
      OwnerHandover.prototype['ask'] = function (handover) {
        if (asked.has(handover)) return;
        asked.add(handover);
        original['ask'].call(this, handover);
      };
    },
  },
  {
    name: 'a request id that is in use is accepted again',
    plant() {
      const original = methodsOf(RequestOpenings.prototype);
      RequestOpenings.prototype.open = function (operation, step) {
        for (const id of operation.requests) this['session'].requests.delete(id);
        return original.open.call(this, operation, step);
      };
    },
  },
  {
    name: 'an answer also goes to the next request with the same id',
    plant() {
      const answers = new WeakMap<LiveSession, Map<unknown, JsonRpcResponse>>();
      const original = methodsOf(LiveSession.prototype);
      LiveSession.prototype['answer'] = function (response) {
        const given = answers.get(this) ?? new Map<unknown, JsonRpcResponse>();
        answers.set(this, given);
        const first = given.get(response.id) ?? response;
        given.set(response.id, first);
        return original['answer'].call(this, first);
      };
    },
  },
  {
    name: 'a GET of another principal is served',
    plant() {
      const original = methodsOf(StreamHolders.prototype);
      StreamHolders.prototype.attach = function (nodeId, request, now) {
        return original.attach.call(
          this,
          nodeId,
          { ...request, principal: this['session'].stored.principal },
          now,
        );
      };
    },
  },
  {
    name: 'a subscription is not remembered',
    plant() {
      const original = methodsOf(StoredSession.prototype);
      StoredSession.prototype['shape'] = function (effect, step) {
        if (effect.type !== 'subscribe') original['shape'].call(this, effect, step);
      };
    },
  },
  {
    name: 'a session is notified of a resource to which its client has not subscribed',
    plant() {
      const original = methodsOf(StoredSession.prototype);
      StoredSession.prototype['wanted'] = function ({ onlyIf, ...operation }, stream, step) {
        const isAny = onlyIf === undefined || 'subscribed' in onlyIf;
        const given = isAny ? operation : { ...operation, onlyIf };
        return original['wanted'].call(this, given, stream, step);
      };
    },
  },
  {
    name: 'an answer goes to the first open question of its session',
    from: 8,
    plant() {
      const original = methodsOf(OutgoingRequests.prototype);
      OutgoingRequests.prototype.find = function (sessionId, id) {
        const found = original.find.call(this, sessionId, id);
        const asks = [...this['open'].values()];
        return found && asks.find(({ asker }) => asker.sessionId === sessionId);
      };
    },
  },
];
