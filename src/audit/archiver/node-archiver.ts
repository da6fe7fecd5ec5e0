import type { JoinedBackplane } from '../../backplane/backplane.js';
import type { Audit } from '../../options/audit-option.js';
import { Archiver } from './archiver.js';
import type { ArchiverOptions } from './archiver.js';
import { sinkOf } from './sink-of.js';

/** Starts the archiver of a node. Returns `undefined` if the node has no sink. */
export function startNodeArchiver(
  { sink, sealWith }: Audit,
  backplane: JoinedBackplane,
  options: Pick<ArchiverOptions, 'archiver' | 'leaseMs' | 'clock' | 'logger' | 'redact'>,
): Archiver | undefined {
  const outboxes = backplane.audit;
  if (sink === undefined || outboxes === undefined) return undefined;
  const archiver = new Archiver({
    ...options,
    ...{ outboxes, sessions: backplane, sink: sinkOf(sink), sealWith },
  });
  archiver.start();
  return archiver;
}
