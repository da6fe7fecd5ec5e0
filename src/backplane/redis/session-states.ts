import { AnynodeError } from '../../protocol/errors.js';
import type { ApplicationState, JoinOptions, StoredState } from '../backplane.js';
import type { CommandConnection } from './connection/redis-connection.js';
import type { RedisKeys } from './redis-keys.js';

type Options = Pick<JoinOptions, 'nodeId' | 'clock' | 'commandTimeoutMs'>;
type Stored = Awaited<ReturnType<ApplicationState['storeState']>>;

/**
 * How long the last store of another node is remembered, in multiples of `commandTimeoutMs`. Within that time, that node repeats
 * the store or gives it up.
 */
const REPEATS_WITHIN = 30;
/**
 * The part of `commandTimeoutMs` that a store may wait behind others. After that it is given up, so that its caller is told within
 * `commandTimeoutMs` as well.
 */
const PATIENCE = 0.9;

/**
 * Loads and stores the application's state of each session. A node sends its stores for a session one after another: the
 * next one when the last one was answered or given up. So the number of the node's last store shows whether a store is a
 * repeat (see state.lua).
 */
export class SessionStates {
  private stores = 0;
  /** By session, a promise for the end of the last store. It never rejects. */
  private readonly ends = new Map<string, Promise<void>>();

  constructor(
    private readonly connection: CommandConnection,
    private readonly redisKeys: RedisKeys,
    private readonly options: Options,
  ) {}

  async load(sessionId: string): Promise<StoredState | undefined> {
    const key = this.redisKeys.record(sessionId);
    const [revision, version, value] = await this.connection.run((client) =>
      client.hmget(key, 'rev', 'stv', 'st'),
    );
    if (typeof revision !== 'string') return undefined;
    return { version: version ?? '', value: value ?? undefined };
  }

  store(
    sessionId: string,
    value: string,
    expected: string | undefined,
    mark?: string,
  ): Promise<Stored> {
    const { clock } = this.options;
    const asked = clock.elapsed();
    const before = this.ends.get(sessionId) ?? Promise.resolve();
    const stored = before.then(() =>
      this.send(clock.elapsed() - asked, sessionId, value, expected, mark),
    );
    const over = (): void => {
      if (this.ends.get(sessionId) === end) this.ends.delete(sessionId);
    };
    const end = stored.then(over, over);
    this.ends.set(sessionId, end);
    return stored;
  }

  private async send(
    waitedMs: number,
    sessionId: string,
    value: string,
    expected: string | undefined,
    mark: string | undefined,
  ): Promise<Stored> {
    const { nodeId, commandTimeoutMs } = this.options;
    if (waitedMs > commandTimeoutMs * PATIENCE) {
      const text = `The backplane cannot be reached: no answer within ${commandTimeoutMs} ms`;
      throw new AnynodeError('backplane_unavailable', text);
    }
    this.stores += 1;
    const number = this.stores;
    const args = [
      ...[this.redisKeys.record(sessionId), value, expected === undefined ? '' : `=${expected}`],
      ...[nodeId, mark ?? number.toString(36), number, commandTimeoutMs * REPEATS_WITHIN],
    ];
    const reply = await this.connection.run((client) => client['anynode:state'](args));
    return reply as Stored;
  }
}
