import type { Redis } from 'ioredis';

/** Calls by command, in lower case: `{ evalsha: 3, publish: 1 }`; subcommands as `client|setinfo`. */
export type CommandCounts = Record<string, number>;

/**
 * Returns how often clients have called each command since the server started. Commands that scripts call are counted as
 * well. The `INFO` of this reading counts in the next one.
 */
export async function commandCounts(redis: Redis): Promise<CommandCounts> {
  const info = await redis.info('commandstats');
  const found = info.matchAll(/^cmdstat_(.+?):calls=(\d+)/gm);
  return Object.fromEntries(Array.from(found, ([, name = '', calls]) => [name, Number(calls)]));
}

/** Returns the calls between two readings, without those of the readings. */
export function commandsBetween(before: CommandCounts, after: CommandCounts): CommandCounts {
  const more = Object.entries(after).map(([name, n]) => [name, n - (before[name] ?? 0)] as const);
  return Object.fromEntries(more.filter(([name, n]) => n > 0 && name !== 'info'));
}
