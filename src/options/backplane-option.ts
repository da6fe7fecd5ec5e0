/** Makes the backplane from the options that `anynode()`, `sdkStores()` and `observe()` take. */
import type { Backplane } from '../backplane/backplane.js';
import { encodedBackplane } from '../backplane/encoded/encoded-backplane.js';
import type { PayloadCodec } from '../backplane/encoded/payloads.js';
import { memoryBackplane } from '../backplane/memory/memory-backplane.js';
import { redisBackplane } from '../backplane/redis/redis-backplane.js';
import type { AnynodeOptions } from './anynode-options.js';

/**
 * Returns the given `backplane`, a new one over `redis`, or a new one in the memory of this process. With `codec`, it encodes
 * what is stored. Throws a `TypeError` if one of these options is wrong, or if both `redis` and `backplane` are given.
 */
export function backplaneOf({
  redis,
  backplane,
  prefix,
  codec,
}: Pick<AnynodeOptions, 'redis' | 'backplane' | 'prefix' | 'codec'>): Backplane {
  if (redis !== undefined) checkRedis(redis);
  if (redis !== undefined && backplane !== undefined) {
    throw new TypeError('mcp-anynode: give either `redis` or `backplane`, not both');
  }
  if (backplane !== undefined && !hasMember(backplane, 'join')) {
    throw new TypeError(
      'mcp-anynode: `backplane` has to be what `memoryBackplane()` or `redisBackplane()` returns',
    );
  }
  checkPrefix(prefix);
  checkCodec(codec);
  const plain =
    redis === undefined
      ? (backplane ?? memoryBackplane())
      : redisBackplane({ redis, ...(prefix !== undefined && { prefix }) });
  return codec === undefined ? plain : encodedBackplane(plain, codec);
}

/**
 * Throws a `TypeError` if the option `redis` is neither a URL nor an ioredis client. A client is recognized by its method
 * `duplicate` and not by its class, because the user may have another copy of ioredis than this library.
 */
export function checkRedis(value: unknown): void {
  if (typeof value === 'string' ? /^rediss?:\/\//.test(value) : hasMember(value, 'duplicate'))
    return;
  throw new TypeError(
    'mcp-anynode: `redis` has to be a URL such as redis://localhost:6379, or an ioredis `Redis` or `Cluster`',
  );
}

export function checkPrefix(prefix: string | undefined): void {
  if (prefix === undefined || /^[^\s{}]+$/.test(prefix)) return;
  throw new TypeError('mcp-anynode: `prefix` must not be empty or contain spaces or braces');
}

export function checkCodec(codec: PayloadCodec | undefined): void {
  if (codec === undefined) return;
  const value = codec as Partial<Record<keyof PayloadCodec, unknown>> | null;
  if (typeof value?.encode === 'function' && typeof value.decode === 'function') return;
  throw new TypeError(
    'mcp-anynode: `codec` has to have `encode` and `decode`, such as what `aesGcmCodec()` returns',
  );
}

function hasMember(value: unknown, name: string): boolean {
  return typeof value === 'object' && value !== null && name in value;
}
