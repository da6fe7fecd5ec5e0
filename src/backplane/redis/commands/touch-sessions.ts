import { FailedStep } from '../../../protocol/errors.js';
import type { JoinOptions, Position, TouchReply, TouchRequest } from '../../backplane.js';
import type { CommandConnection } from '../connection/redis-connection.js';
import { isMalformed, isScriptFault } from '../malformed-session.js';
import type { RedisKeys } from '../redis-keys.js';
import type { SessionSteps } from '../session-steps.js';
import { touchReply } from './parse-replies.js';
import { touchArguments } from './script-arguments.js';

interface Means {
  connection: CommandConnection;
  redisKeys: RedisKeys;
  steps: SessionSteps;
}

/** Runs touch.lua for each session. A malformed session must not affect the others. */
export async function touchSessions(
  requests: TouchRequest[],
  options: JoinOptions,
  { connection, redisKeys, steps }: Means,
): Promise<TouchReply[]> {
  // The scripts are sent together, in one round trip.
  const replies = await connection.run((client) =>
    Promise.all(
      requests.map((request) =>
        client['anynode:touch'](
          ...redisKeys.ofSession(request.sessionId),
          ...touchArguments(request, options),
        ).catch((error: unknown) => {
          if (isMalformed(error) || isScriptFault(error)) return error;
          throw error;
        }),
      ),
    ),
  );
  return Promise.all(
    requests.map(({ sessionId, streams, runs = [] }, at) =>
      steps
        .run<TouchReply>(sessionId, { status: 'gone' }, () => {
          const reply = replies[at];
          if (reply instanceof Error) throw reply;
          return Promise.resolve(touchReply(streams.length, reply));
        })
        .catch((error: unknown): TouchReply => {
          if (!(error instanceof FailedStep)) throw error;
          // The state of this session is unknown, which must not affect the others.
          const state = ({ position }: { position: Position }) => ({
            ...{ last: position.n, held: true, ended: false },
          });
          return { status: 'ok', streams: streams.map(state), runs: runs.map(() => true) };
        }),
    ),
  );
}
