import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openTrail } from '../../src/audit/index.js';
import type { Trail } from '../../src/audit/index.js';
import { startPostgres } from '../rig/postgres.js';

export type TrailKind = 'directory' | 'postgres';

/** Where the nodes of a run keep their audit trail. */
export interface KeptTrail {
  /** The option `audit.sink` of the nodes. */
  readonly sink: string;
  /** Kills what keeps the trail. Left out: nothing can be killed. */
  kill?: () => Promise<void>;
  /** Starts it again. */
  start?: () => Promise<void>;
  open(): Trail;
  stop(): Promise<void>;
}

export async function keepTrail(kind: TrailKind): Promise<KeptTrail> {
  if (kind === 'directory') {
    const sink = await mkdtemp(join(tmpdir(), 'anynode-chaos-trail-'));
    const stop = () => rm(sink, { recursive: true, force: true });
    return { sink, open: () => openTrail(sink), stop };
  }
  const { url: sink, kill, start, stop } = await startPostgres();
  return { sink, kill, start, open: () => openTrail(sink), stop };
}
