import { FailedStep } from '../../protocol/errors.js';
import { LogLimit } from '../../protocol/log-limit.js';
import type { JoinOptions } from '../backplane.js';
import type { CommandConnection } from './connection/redis-connection.js';
import { isMalformed, isScriptFault } from './malformed-session.js';
import type { RedisKeys } from './redis-keys.js';

/** Runs commands for sessions, also for sessions whose stored state is malformed. */
export class SessionSteps {
  private readonly faults: LogLimit;

  constructor(
    private readonly connection: CommandConnection,
    private readonly redisKeys: RedisKeys,
    private readonly options: Pick<JoinOptions, 'clock' | 'logger'>,
  ) {
    this.faults = new LogLimit(options.clock);
  }

  /**
   * Runs a command for a session, and ends the session if its stored state is malformed. No later call could be answered,
   * and each would be tried again. If a script fails for another reason, rejects with a {@link FailedStep}, and the session
   * stays.
   */
  async run<T>(sessionId: string, gone: T, step: () => Promise<T>): Promise<T> {
    try {
      return await step();
    } catch (error) {
      if (isScriptFault(error)) throw this.failed(sessionId, error as Error);
      if (!isMalformed(error)) throw error;
      this.options.logger.warn(
        `mcp-anynode: session ${sessionId} has ended: what is stored of it is malformed (${String(error)})`,
      );
      const keys = this.redisKeys.ofSession(sessionId);
      await this.connection.run((client) => client.unlink(...keys));
      return gone;
    }
  }

  private failed(sessionId: string, error: Error): FailedStep {
    const failed = new FailedStep(error.cause instanceof Error ? error.cause : error);
    this.faults.pass('script', (more) => {
      this.options.logger.warn(
        `mcp-anynode: a script failed in session ${sessionId}: ${failed.message}${more}`,
      );
    });
    return failed;
  }
}
