/** Faults in the limits for clients, and in how long sessions and logs are kept. */
import { RequestOpenings } from '../../../src/backplane/memory/request-openings.js';
import { LOG_START } from '../../../src/backplane/backplane.js';
import { ConnectionSlots } from '../../../src/http/connection-slots.js';
import { SessionQuotas } from '../../../src/execution/session-quotas.js';
import { SimBackplane, JoinedSimBackplane } from '../backplane.js';
import { SessionKeeper } from '../../../src/stream/session-keeper.js';
import type { Mutant } from './mutant.js';
import { methodsOf } from './mutant.js';

export const LIMIT_MUTANTS: Mutant[] = [
  {
    name: 'a session may have any number of requests',
    from: 13,
    plant() {
      const original = methodsOf(RequestOpenings.prototype);
      RequestOpenings.prototype.open = function ({ most: _, ...operation }, step) {
        return original.open.call(this, operation, step);
      };
    },
  },
  {
    name: 'a closed connection still counts toward the limit',
    from: 40,
    plant() {
      ConnectionSlots.prototype['giveBack'] = () => undefined;
    },
  },
  {
    name: 'a session may have any number of connections',
    from: 421,
    plant() {
      ConnectionSlots.prototype.take = () => true;
    },
  },
  {
    name: 'a caller may have any number of sessions',
    from: 50,
    plant() {
      const original = methodsOf(JoinedSimBackplane.prototype);
      JoinedSimBackplane.prototype.create = function ({ most: _, ...session }) {
        return original.create.call(this, session);
      };
    },
  },
  {
    name: 'a caller who once had too many sessions is refused for ever',
    from: 63,
    plant() {
      SessionQuotas.prototype['remember'] = function (principal, error) {
        this['full'].set(principal, { until: Infinity, error });
      };
    },
  },
  {
    name: 'a session that is in use expires',
    from: 161,
    plant() {
      SessionKeeper.prototype.refresh = () => Promise.resolve();
    },
  },
  {
    name: 'a session does not expire',
    from: 13,
    plant() {
      const original = methodsOf(SimBackplane.prototype);
      SimBackplane.prototype.for = function (process) {
        const backplane = original.for.call(this, process);
        return { join: (options) => backplane.join({ ...options, sessionTtlMs: 3_600_000 }) };
      };
    },
  },
  {
    name: 'a client with a cursor older than the log resumes where the log begins',
    from: 161,
    plant() {
      const original = methodsOf(JoinedSimBackplane.prototype);
      JoinedSimBackplane.prototype.attach = async function (request) {
        const reply = await original.attach.call(this, request);
        if (reply.status !== 'trimmed') return reply;
        return original.attach.call(this, { ...request, cursor: undefined });
      };
    },
  },
  {
    name: 'a slow reader whose position was trimmed goes on where the log begins',
    from: 401,
    plant() {
      const original = methodsOf(JoinedSimBackplane.prototype);
      JoinedSimBackplane.prototype.read = async function (request) {
        const page = await original.read.call(this, request);
        if (page.status !== 'trimmed') return page;
        const { sessionId, stream, maxBytes } = request;
        const after = { n: Infinity, logId: LOG_START };
        return original.read.call(this, { sessionId, stream, maxBytes, after });
      };
    },
  },
];
