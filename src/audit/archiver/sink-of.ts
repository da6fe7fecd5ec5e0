import type { AuditTarget } from '../../options/audit-option.js';
import { isPostgresUrl } from '../../options/audit-option.js';
import type { AuditSink } from '../record.js';

/**
 * Returns the sink of a target. The sink of a text is opened by the first write, and again if that fails. So a directory or a
 * database that is not there yet is treated like one that is away.
 */
export function sinkOf(target: AuditTarget): AuditSink {
  if (typeof target === 'string') return opened(target);
  if (typeof target !== 'function') return target;
  return {
    async write(records) {
      await target(records);
    },
  };
}

function opened(target: string): AuditSink {
  let sink: AuditSink | undefined;
  return {
    async write(records) {
      sink ??= await open(target);
      await sink.write(records);
    },
    async close() {
      await sink?.close?.();
    },
  };
}

/** Imports only what the target needs, because `pg` need not be installed. */
async function open(target: string): Promise<AuditSink> {
  if (isPostgresUrl(target)) {
    const { postgresSink } = await import('../postgres/postgres-sink.js');
    return postgresSink(target);
  }
  const { directorySink } = await import('../directory/directory-sink.js');
  return directorySink(target);
}
