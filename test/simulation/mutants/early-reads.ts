/** Faults in requests that begin before they are stored. */
import { RequestOpenings } from '../../../src/backplane/memory/request-openings.js';
import { EarlyCalls } from '../../../src/replica/requests/early-calls.js';
import { ReadOnlyRequests } from '../../../src/replica/requests/read-only-requests.js';
import type { Mutant } from './mutant.js';
import { methodsOf } from './mutant.js';

export const EARLY_READ_MUTANTS: Mutant[] = [
  {
    name: 'a tool that may change something begins before its call is stored',
    plant() {
      ReadOnlyRequests.prototype.includes = () => true;
    },
  },
  {
    name: 'the answer of a replica that is not current counts',
    plant() {
      const original = methodsOf(RequestOpenings.prototype);
      RequestOpenings.prototype.exchange = function (operation, step) {
        const { revision } = this['session'].stored;
        return original.exchange.call(this, { ...operation, revision }, step);
      };
    },
  },
  {
    name: 'a repeated exchange is logged again',
    plant() {
      const original = methodsOf(RequestOpenings.prototype);
      RequestOpenings.prototype.exchange = function (operation, step) {
        return original.exchange.call(this, operation, { ...step, repeated: false });
      };
    },
  },
  {
    name: 'a message overtakes one that waits until its request is stored',
    plant() {
      const original = methodsOf(EarlyCalls.prototype);
      EarlyCalls.prototype.inOrder = function (call, store) {
        if (call?.early === undefined) return store();
        return original.inOrder.call(this, call, store) as ReturnType<typeof store>;
      };
    },
  },
];
