/** Faults in how nodes act when the backplane loses something, when a session ends, and when a node is taken for dead. */
import { StreamExecutors } from '../../../src/backplane/memory/stream-executors.js';
import { OrphanRecovery } from '../../../src/execution/recovery/orphan-recovery.js';
import { BegunStreams } from '../../../src/stream/begun-streams.js';
import { LiveSession } from '../../../src/replica/live-session.js';
import { SessionService } from '../../../src/execution/session-service.js';
import { SessionNotices } from '../../../src/stream/session-notices.js';
import type { Mutant } from './mutant.js';

export const FAILURE_MUTANTS: Mutant[] = [
  {
    name: 'a node begins a request again after the backplane has lost that it was begun',
    from: 397,
    setting: { affinity: 'owner' },
    plant() {
      BegunStreams.prototype.begin = (_orphan, start) => start();
    },
  },
  {
    name: 'a node learns of the end of a session only from the message about it',
    from: 43,
    plant() {
      SessionNotices.prototype.ended = () => undefined;
      SessionService.prototype.verify = () => undefined;
    },
  },
  {
    name: 'a handler goes on after another node has taken its request over',
    from: 2027,
    plant() {
      LiveSession.prototype.executionLost = () => undefined;
    },
  },
  {
    name: 'a node does not check whether it still executes a stream',
    from: 179,
    setting: { affinity: 'owner' },
    plant() {
      OrphanRecovery.prototype.confirmExecutor = () => undefined;
    },
  },
  {
    name: 'messages of a former owner are still stored',
    from: 574,
    setting: { affinity: 'owner' },
    plant() {
      StreamExecutors.prototype['succeed'] = function (step, dead) {
        return this.takeOwnershipIfFree(step, dead);
      };
    },
  },
];
