/** Faults in how entries get into the outbox, and from there into the audit trail. */
import { ArchiveLoop } from '../../../src/audit/archiver/archive-loop.js';
import { MemoryOutbox } from '../../../src/backplane/memory/memory-outbox.js';
import type { Setting } from '../plan.js';
import { methodsOf } from './mutant.js';
import type { Mutant } from './mutant.js';

/** The run draws the values. */
const AUDITED: Partial<Setting> = {
  audit: {
    ...{ whenFull: 'refuse', maxSessionBytes: 64 << 20, maxTotalBytes: 256 << 20 },
    ...{ sinkMs: 20, failSink: 0, hangSink: 0, hangMs: 0 },
  },
};

export const AUDIT_MUTANTS: Mutant[] = [
  {
    name: 'an archiver acknowledges a batch before the sink has stored it',
    setting: AUDITED,
    plant() {
      const original = methodsOf(ArchiveLoop.prototype);
      ArchiveLoop.prototype['write'] = function (records) {
        void original['write'].call(this, records);
        return Promise.resolve('done');
      };
    },
  },
  {
    name: 'an outbox obeys an archiver after another one has claimed it',
    setting: AUDITED,
    plant() {
      const original = methodsOf(MemoryOutbox.prototype);
      MemoryOutbox.prototype.acknowledge = function (delivered) {
        this['claimedBy'] = delivered.archiver;
        const { mark } = this['checkpoint'];
        return original.acknowledge.call(this, { ...delivered, mark });
      };
    },
  },
  {
    name: 'a chain is not stored before its first records are delivered',
    setting: AUDITED,
    plant() {
      MemoryOutbox.prototype.beginChains = () => 'ok';
    },
  },
  {
    name: 'notes of resumed streams are not copied into the outbox',
    setting: AUDITED,
    plant() {
      const original = methodsOf(MemoryOutbox.prototype);
      MemoryOutbox.prototype.copy = function (sessionId, entry) {
        if (entry.note?.kind !== 'stream.resumed') original.copy.call(this, sessionId, entry);
      };
    },
  },
  {
    name: 'archivers do not look for sessions that have expired',
    setting: AUDITED,
    plant() {
      ArchiveLoop.prototype['sweep'] = () => Promise.resolve();
    },
  },
];
