import type { Redis } from 'ioredis';

/** What a Redis server has done since it started. */
export interface RedisUsage {
  /** The CPU time of the server, in microseconds. */
  cpu: number;
  /** How many scripts and functions ran. */
  scripts: number;
  /** How long they ran, in microseconds. */
  scriptMicros: number;
  /** How many commands ran: those of clients, and those that scripts call. */
  commands: number;
  bytesIn: number;
  bytesOut: number;
}

/** Reads the counters of a Redis server. Commands `INFO` are not counted, but their bytes are. */
export async function redisUsage(redis: Redis): Promise<RedisUsage> {
  const info = await redis.info('all');
  const sum = (pattern: RegExp): number =>
    Array.from(info.matchAll(pattern), ([, value]) => Number(value)).reduce((a, b) => a + b, 0);
  return {
    cpu: sum(/^used_cpu_(?:sys|user):([\d.]+)/gm) * 1e6,
    scripts: sum(/^cmdstat_(?:eval|evalsha|fcall)(?:_ro)?:calls=(\d+)/gm),
    scriptMicros: sum(/^cmdstat_(?:eval|evalsha|fcall)(?:_ro)?:calls=\d+,usec=(\d+)/gm),
    commands: sum(/^cmdstat_(?!info:).+?:calls=(\d+)/gm),
    bytesIn: sum(/^total_net_input_bytes:(\d+)/gm),
    bytesOut: sum(/^total_net_output_bytes:(\d+)/gm),
  };
}

/** Returns the memory that a Redis server uses, in bytes. */
export async function redisMemory(redis: Redis): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
}
