import { setTimeout as pause } from 'node:timers/promises';
import type { NodeProcess } from '../../rig/processes.js';
import { connectRedis } from '../../support/redis-fixture.js';

/**
 * Kills a node before it renews its lease, rather than after: it is missed the sooner, which leaves time for a busy machine
 * where a test holds the rest against what is promised. Returns when that was.
 */
export async function killLate(
  node: NodeProcess,
  prefix: string,
  leaseMs: number,
): Promise<number> {
  const redis = connectRedis();
  // Renewed when a third of it is over, give or take a tenth of that.
  while ((await redis.pttl(`${prefix}:node:${node.nodeId}`)) > 0.75 * leaseMs) await pause(5);
  node.kill('SIGKILL');
  return Date.now();
}
