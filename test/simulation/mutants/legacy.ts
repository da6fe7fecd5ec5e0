/** Faults in how nodes serve clients of HTTP+SSE. */
import { StoredSession } from '../../../src/backplane/memory/stored-session.js';
import { OpenerWatch } from '../../../src/execution/recovery/opener-watch.js';
import { LegacyConnection, LegacyRequests } from '../../../src/legacy-sse/legacy-connection.js';
import type { Mutant } from './mutant.js';
import { methodsOf } from './mutant.js';

const setting = { legacyClients: 1 };

export const LEGACY_MUTANTS: Mutant[] = [
  {
    name: 'a session of HTTP+SSE goes on when its client has left',
    setting,
    plant() {
      LegacyConnection.prototype['onClosed'] = () => undefined;
    },
  },
  {
    name: 'a connection of HTTP+SSE stays when its session has ended',
    setting,
    plant() {
      LegacyConnection.prototype.end = () => undefined;
    },
  },
  {
    name: 'a connection of HTTP+SSE that was read slowly shows nothing any more',
    setting,
    plant() {
      LegacyConnection.prototype.whenRoom = () => undefined;
    },
  },
  {
    name: 'a connection of HTTP+SSE shows a message a second time',
    setting,
    plant() {
      const original = methodsOf(LegacyConnection.prototype);
      const last = new WeakMap<LegacyConnection, Parameters<LegacyConnection['write']>[0]>();
      LegacyConnection.prototype.write = function (event) {
        const before = last.get(this);
        last.set(this, event);
        // The connection acts as if it had not noted its position when its buffer became full.
        if (before !== undefined && event.position.n % 8 === 0) original.write.call(this, before);
        return original.write.call(this, event);
      };
    },
  },
  {
    name: 'no node looks after requests of HTTP+SSE that a dead node received',
    from: 232,
    setting,
    plant() {
      OpenerWatch.prototype.note = () => undefined;
    },
  },
  {
    name: 'a node does not notice that the backplane has lost an answer of HTTP+SSE',
    from: 2067,
    setting,
    plant() {
      OpenerWatch.prototype.check = () => undefined;
    },
  },
  {
    name: 'a request of HTTP+SSE that the backplane has lost ends without an error',
    from: 1262,
    setting,
    plant() {
      LegacyRequests.prototype.end = () => undefined;
    },
  },
  {
    name: 'a connection of HTTP+SSE goes on after the backplane has lost messages that it has shown',
    from: 432,
    setting,
    plant() {
      LegacyConnection.prototype.restarted = () => undefined;
    },
  },
  {
    name: 'a node shows its answer to a request of HTTP+SSE that another node has taken over',
    from: 26,
    setting,
    plant() {
      const original = methodsOf(StoredSession.prototype);
      StoredSession.prototype['wanted'] = function ({ onlyIf, ...operation }, stream, step) {
        const { after: _, ...rest } = (onlyIf ?? {}) as { after?: true };
        const given = {
          ...operation,
          ...(Object.keys(rest).length > 0 && { onlyIf: rest as never }),
        };
        return original['wanted'].call(this, given, stream, step);
      };
    },
  },
];
