/** Faults in what limits clients, and in what is kept for how long. */
import { MemorySession } from '../../../src/backplane/memory/session.js';
import { Slots } from '../../../src/http/slots.js';
import { Quotas } from '../../../src/session/quotas.js';
import { SimMembership } from '../backplane.js';
import type { Mutant } from './mutant.js';
import { methodsOf } from './mutant.js';

export const LIMIT_MUTANTS: Mutant[] = [
  {
    name: 'a session may have any number of requests',
    plant() {
      const original = methodsOf(MemorySession.prototype);
      MemorySession.prototype['open'] = function ({ most: _, ...operation }, step) {
        return original['open'].call(this, operation, step);
      };
    },
  },
  {
    name: 'a connection goes on to count when it is closed',
    plant() {
      Slots.prototype['giveBack'] = () => undefined;
    },
  },
  {
    name: 'a session may have any number of connections',
    plant() {
      Slots.prototype.take = () => true;
    },
  },
  {
    name: 'a caller may have any number of sessions',
    plant() {
      const original = methodsOf(SimMembership.prototype);
      SimMembership.prototype.create = function ({ most: _, ...session }) {
        return original.create.call(this, session);
      };
    },
  },
  {
    name: 'a caller who had too many sessions is refused for ever',
    plant() {
      Quotas.prototype['remember'] = function (principal, error) {
        this['full'].set(principal, { until: Infinity, error });
      };
    },
  },
];
