/** Faults in how messages are stored and shown. */
import type { StreamEvent } from '../../../src/backplane/backplane.js';
import { LOG_START } from '../../../src/backplane/backplane.js';
import { StoredSession } from '../../../src/backplane/memory/stored-session.js';
import { StreamHolders } from '../../../src/backplane/memory/stream-holders.js';
import { SseConnection } from '../../../src/http/response/sse-response.js';
import { ServerMessages } from '../../../src/replica/server-messages.js';
import { Follower } from '../../../src/stream/followers/follower.js';
import { SimBackplane, JoinedSimBackplane } from '../backplane.js';
import type { Mutant } from './mutant.js';
import { methodsOf } from './mutant.js';

export const STREAM_MUTANTS: Mutant[] = [
  {
    name: 'a connection reads the log only before it holds the stream',
    from: 82,
    plant() {
      const early = new Map<string, StreamEvent[]>();
      const joined = methodsOf(JoinedSimBackplane.prototype);
      JoinedSimBackplane.prototype.attach = async function (request) {
        const { sessionId, stream, token, cursor } = request;
        const after = cursor ?? { n: 0, logId: LOG_START };
        const page = await this.read({ sessionId, stream, after, maxBytes: 1e6 });
        if (page.status === 'ok') early.set(token, page.events);
        return joined.attach.call(this, request);
      };
      const follower = methodsOf(Follower.prototype);
      Follower.prototype.poke = function () {
        const events = early.get(this.token);
        early.delete(this.token);
        if (events === undefined) follower.poke.call(this);
        else for (const event of events) this.offer(event, true);
      };
    },
  },
  {
    name: 'a follower shows a message although earlier ones are missing',
    from: 8,
    plant() {
      const original = methodsOf(Follower.prototype);
      Follower.prototype.offer = function (event, inline) {
        const isNext = event.position.n > this.position.n;
        if (this['state'] === 'live' && inline && isNext) this['show'](event);
        else original.offer.call(this, event, inline);
      };
    },
  },
  {
    name: 'a follower compares only the numbers of messages',
    from: 8253,
    plant() {
      Follower.prototype['isNext'] = function ({ position }) {
        return position.n === this.position.n + 1;
      };
    },
  },
  {
    name: 'a message is shown before it is stored',
    plant() {
      const original = methodsOf(ServerMessages.prototype);
      ServerMessages.prototype.storeAll = function (operations, ...rest) {
        for (const { stream, message } of operations) {
          const follower = this['node'].followers.find(this['sessionId'], stream);
          if (follower === undefined || message === undefined) continue;
          const { n, logId } = follower.position;
          follower.offer({ position: { n: n + 1, logId }, message, end: false }, true);
        }
        return original.storeAll.call(this, operations, ...rest);
      };
    },
  },
  {
    name: 'a repeated commit is carried out again',
    plant() {
      const original = methodsOf(StoredSession.prototype);
      StoredSession.prototype.commit = function (nodeId, ...rest) {
        this['numbers'].delete(nodeId);
        return original.commit.call(this, nodeId, ...rest);
      };
    },
  },
  {
    name: 'a broadcast is left out although the earlier one was already shown',
    plant() {
      const original = methodsOf(StoredSession.prototype);
      StoredSession.prototype['wanted'] = function (operation, stream, step) {
        if (operation.coalesce !== undefined && this['coalesced'].has(operation.coalesce))
          return false;
        return original['wanted'].call(this, operation, stream, step);
      };
    },
  },
  {
    name: 'state is stored although another node has changed it',
    plant() {
      const original = methodsOf(JoinedSimBackplane.prototype);
      JoinedSimBackplane.prototype.storeState = function (sessionId, value, _expected, mark) {
        return original.storeState.call(this, sessionId, value, undefined, mark);
      };
    },
  },
  {
    name: 'a late detach ends the claim of its successor',
    from: 121,
    plant() {
      const original = methodsOf(StreamHolders.prototype);
      StreamHolders.prototype.detach = function (operation, step) {
        original.detach.call(this, operation, step);
        delete this['session'].streams.get(operation.stream)?.holder;
      };
    },
  },
  {
    name: 'a node does not read its streams after its subscription was lost',
    from: 37,
    plant() {
      const original = methodsOf(SimBackplane.prototype);
      SimBackplane.prototype.for = function (process) {
        const backplane = original.for.call(this, process);
        return {
          join: (options) => backplane.join({ ...options, onLost: () => undefined }),
        };
      };
    },
  },
  {
    name: 'a resumed stream begins one message too late',
    plant() {
      const original = methodsOf(StreamHolders.prototype);
      StreamHolders.prototype.attach = function (...args) {
        const reply = original.attach.apply(this, args);
        if (reply.status !== 'attached') return reply;
        const { n, logId } = reply.position;
        return { ...reply, position: { n: n + 1, logId } };
      };
    },
  },
  {
    name: 'a connection is written to although its buffer is full',
    plant() {
      const original = methodsOf(SseConnection.prototype);
      SseConnection.prototype.write = function (event) {
        original.write.call(this, event);
        return true;
      };
    },
  },
];
