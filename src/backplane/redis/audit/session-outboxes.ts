import type { Operation } from '../../backplane.js';
import type { OutboxLimits } from '../../roles/audit-outboxes.js';
import type { Client, CommandConnection } from '../connection/redis-connection.js';
import type { RedisKeys } from '../redis-keys.js';
import { ONLY_OUTBOX, outboxNameOf } from './outbox-names.js';

/** After this time a node adds the outboxes that it writes to again, in case a failover has lost them. */
const KNOWN_FOR_MS = 60_000;

/** A bound of more bytes is none. Lua would write a number with more digits with an exponent. */
const MOST_BYTES = 99_999_999_999_999;

interface Options {
  audit?: OutboxLimits | undefined;
  clock: { elapsed(): number };
}

/** Tells scripts of sessions to which outbox they add, and how. Without the option `audit` they add to none. */
export class SessionOutboxes {
  /** The outboxes that are known to be in the set of outboxes, and since when. Empty for a single server. */
  private readonly known = new Map<string, number>();
  /** How often connections have ended. */
  private losses = 0;

  constructor(
    private readonly connection: CommandConnection,
    private readonly redisKeys: RedisKeys,
    private readonly options: Options,
  ) {}

  /** True with the option `audit`. */
  get isOn(): boolean {
    return this.options.audit !== undefined;
  }

  /** Returns the setting of the outbox for a commit (see `scripts/includes/audit/outbox.lua`). `''`: it adds nothing. */
  ofCommit(sessionId: string, operations: readonly Operation[]): string {
    if (this.options.audit === undefined) return '';
    let logs = false;
    for (const { type } of operations) {
      if (type === 'open' || type === 'exchange' || type === 'receive')
        return this.ofBeginning(sessionId);
      logs ||= type === 'append' || type === 'note';
    }
    return logs ? this.ofContinuation(sessionId) : '';
  }

  /** Returns the setting for a step that is refused if the outbox is full. */
  ofBeginning(sessionId: string): string {
    const { audit } = this.options;
    if (audit === undefined) return '';
    return this.setting(audit.whenFull === 'drop' ? 'd' : 'r', sessionId, audit);
  }

  /** Returns the setting for a step that goes on with what has begun. */
  ofContinuation(sessionId: string): string {
    const { audit } = this.options;
    if (audit === undefined) return '';
    return this.setting(audit.whenFull === 'drop' ? 'd' : 'a', sessionId, audit);
  }

  /** Returns the setting for a step that stores what it adds in any case. It does not depend on the option `audit`. */
  ofEnd(sessionId: string): string {
    return this.setting('a', sessionId);
  }

  /** Runs a command that may add to the session's outbox, after the outbox was added to the set of outboxes. */
  registered<T>(
    client: Client,
    sessionId: string,
    setting: string,
    command: () => Promise<T>,
  ): Promise<T> {
    if (setting === '' || !this.connection.isCluster) return command();
    const name = outboxNameOf(this.redisKeys.tagOf(sessionId));
    const now = this.options.clock.elapsed();
    const since = this.known.get(name);
    if (since !== undefined && now - since <= KNOWN_FOR_MS) return command();
    return this.register(client, name, now).then(command);
  }

  /** Called after a connection has ended: a failover may have lost what was added. */
  forget(): void {
    this.losses += 1;
    this.known.clear();
  }

  private async register(client: Client, name: string, now: number): Promise<void> {
    const { losses } = this;
    await client.sadd(this.redisKeys.outboxes, name);
    if (losses === this.losses) this.known.set(name, now);
  }

  private setting(policy: string, sessionId: string, limits?: OutboxLimits): string {
    const { isCluster } = this.connection;
    const key = this.redisKeys.outbox(
      isCluster ? outboxNameOf(this.redisKeys.tagOf(sessionId)) : ONLY_OUTBOX,
    );
    const { maxSessionBytes = 0, maxTotalBytes = 0 } = limits ?? {};
    const bounds = [maxSessionBytes, maxTotalBytes].map((bytes) => Math.min(bytes, MOST_BYTES));
    return `${policy}${isCluster ? 'c' : ''} ${bounds.join(' ')} ${key}`;
  }
}
