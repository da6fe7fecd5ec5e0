/** What can be read in a Redis by somebody who has no keys: all that is in it, and all that goes through it. */
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { onTestFinished } from 'vitest';

/** The content of all keys, names included. */
async function everything(redis: Redis): Promise<string> {
  const texts: unknown[] = [];
  let cursor = '0';
  do {
    const [next, keys] = await redis.scan(cursor, 'COUNT', 1000);
    for (const key of keys) texts.push(key, await contentOf(redis, key));
    cursor = next;
  } while (cursor !== '0');
  return JSON.stringify(texts);
}

async function contentOf(redis: Redis, key: string): Promise<unknown> {
  const type = await redis.type(key);
  switch (type) {
    case 'string':
      return redis.get(key);
    case 'hash':
      return redis.hgetall(key);
    case 'list':
      return redis.lrange(key, 0, -1);
    case 'set':
      return redis.smembers(key);
    case 'zset':
      return redis.zrange(key, '0', '-1', 'WITHSCORES');
    case 'stream':
      return redis.xrange(key, '-', '+');
    case 'none': // it has expired meanwhile
      return undefined;
    default:
      throw new Error(`This test cannot look into a ${type}`);
  }
}

export interface Search {
  /** Which of these words stand in some key. */
  stored(words: string[]): Promise<string[]>;
  /** Which were part of some command since the search began; those of scripts and what is published included. */
  sent(words: string[]): Promise<string[]>;
}

export async function searchRedis(url: string): Promise<Search> {
  const redis = new Redis(url);
  onTestFinished(() => redis.disconnect());
  const monitor = await redis.monitor();
  onTestFinished(() => monitor.disconnect());
  const commands: string[] = [];
  let look = (): void => undefined;
  monitor.on('monitor', (_time: string, args: string[]) => {
    commands.push(args.join(' '));
    look();
  });
  const among = (texts: string, words: string[]) => words.filter((word) => texts.includes(word));
  return {
    stored: async (words) => among(await everything(redis), words),
    async sent(words) {
      // What it shows of a command comes later than the command's reply.
      const mark = randomUUID();
      await redis.echo(mark);
      await new Promise<void>((resolve) => {
        look = () => {
          if (commands.some((command) => command.includes(mark))) resolve();
        };
        look();
      });
      return among(commands.join('\n'), words);
    },
  };
}
