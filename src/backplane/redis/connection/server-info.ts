import type { Redis } from 'ioredis';
import type { RedisInfo } from '../../observation.js';
import { isTransient } from './retryable-replies.js';
import { evicts, field, unsupported } from './server-check.js';

/** Asks a server how it is. A server that does not say (an ACL without INFO) is asked for its round trip only. */
export async function lookAtServer(server: Redis): Promise<RedisInfo> {
  const { host = '', port = 0 } = server.options;
  const begun = performance.now();
  await server.time();
  const about = { name: `${host}:${port}`, roundTripMs: performance.now() - begun };
  try {
    const [info, memory] = await Promise.all([server.info('server'), server.info('memory')]);
    const [version, used] = [field(info, 'redis_version'), field(memory, 'used_memory')];
    const max = field(memory, 'maxmemory');
    const policy = evicts(memory);
    const warning =
      unsupported(info) ??
      (policy === undefined
        ? undefined
        : `maxmemory-policy is ${policy}: a full Redis throws parts of sessions away; set it to noeviction`);
    return {
      ...about,
      ...(version !== undefined && { version }),
      ...(used !== undefined && { usedBytes: Number(used) }),
      ...(max !== undefined && { maxBytes: Number(max) }),
      ...(warning !== undefined && { warning }),
    };
  } catch (error) {
    if (isTransient(error)) throw error;
    return about;
  }
}
