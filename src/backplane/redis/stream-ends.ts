import type { EndsReply, EndsRequest } from '../backplane.js';
import { STANDALONE } from '../backplane.js';
import type { CommandConnection } from './connection/redis-connection.js';
import { isMalformed } from './malformed-session.js';
import type { RedisKeys } from './redis-keys.js';

/**
 * Reads the ends of streams, with one `HMGET` per session, all sent together. A session whose master cannot answer now does
 * not affect the others.
 */
export function readEnds(
  connection: CommandConnection,
  redisKeys: RedisKeys,
  requests: EndsRequest[],
): Promise<EndsReply[]> {
  return connection.run((client) =>
    Promise.all(
      requests.map(async ({ sessionId, streams }): Promise<EndsReply> => {
        // The field `bytes` exists as long as the session does.
        const fields = ['bytes', ...streams.map((stream) => `n:${stream}`)];
        try {
          return endsReply(streams, await client.hmget(redisKeys.streams(sessionId), ...fields));
        } catch (error) {
          // The read that follows finds out what is wrong with the session.
          if (isMalformed(error)) return streams.map(() => undefined);
          return undefined;
        }
      }),
    ),
  );
}

/** Parses the ends. A malformed position counts as missing, and the read that follows ends the session. */
function endsReply(streams: string[], values: (string | null)[]): EndsReply {
  const [exists, ...positions] = values;
  return streams.map((stream, at) => {
    const position = positions[at];
    if (exists === null) return undefined;
    if (position === null && stream === STANDALONE) return 0;
    const n = /^(\d{1,15}):/.exec(position ?? '')?.[1];
    return n === undefined ? undefined : Number(n);
  });
}
