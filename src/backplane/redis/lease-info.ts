import { hostname } from 'node:os';
import type { Clock } from '../../protocol/timing/clock.js';
import { VERSION } from '../../protocol/version.js';
import type { NodeAbout } from '../observation.js';

/** Makes the value of a node's lease. It is for people who look at the nodes. Nodes only check whether the lease exists. */
export function leaseInfoOf(clock: Pick<Clock, 'now'>): string {
  const about: NodeAbout = {
    startedAt: clock.now(),
    host: hostname(),
    pid: process.pid,
    version: VERSION,
  };
  return JSON.stringify(about);
}

/** Parses the value of a lease, as far as it is understood. Another release may write more, less or nothing (`1`). */
export function parseLeaseInfo(value: string): NodeAbout {
  let said: unknown;
  try {
    said = JSON.parse(value);
  } catch {
    return {};
  }
  if (typeof said !== 'object' || said === null) return {};
  const { startedAt, host, pid, version } = said as Record<string, unknown>;
  return {
    ...(typeof startedAt === 'number' && { startedAt }),
    ...(typeof host === 'string' && { host }),
    ...(typeof pid === 'number' && { pid }),
    ...(typeof version === 'string' && version !== '' && { version }),
  };
}
