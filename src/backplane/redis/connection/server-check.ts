import type { Redis } from 'ioredis';
import { isTransient } from './retryable-replies.js';

/** The first version with `XTRIM MINID` and `ZRANDMEMBER`. Valkey calls itself 7.2.4 and up here. */
const OLDEST = [6, 2] as const;

/** Returns why this server cannot be used, from a reply to `INFO server`. `undefined`: it can be used. */
export function unsupported(info: string): string | undefined {
  const version = field(info, 'redis_version');
  const [major, minor] = (version ?? '').split('.').map(Number);
  if (major === undefined || minor === undefined || !Number.isInteger(major + minor)) {
    return undefined; // the server does not say, so its commands will show it
  }
  if (major > OLDEST[0] || (major === OLDEST[0] && minor >= OLDEST[1])) return undefined;
  return `Redis ${OLDEST.join('.')} or newer is needed, this one is ${String(version)}`;
}

/** Returns the policy by which this server evicts keys, from a reply to `INFO memory`. `undefined`: it evicts none. */
export function evicts(info: string): string | undefined {
  const policy = field(info, 'maxmemory_policy');
  return policy === undefined || policy === 'noeviction' ? undefined : policy;
}

export function field(info: string, name: string): string | undefined {
  const found = new RegExp(`^${name}:(.*?)\\r?$`, 'm').exec(info);
  return found?.[1];
}

/** Checks each server that this node uses, and logs each problem once. */
export class ServerCheck {
  private readonly reasons = new Map<string, string>();
  private readonly said = new Set<string>();

  constructor(private readonly logger: { warn(message: string): void }) {}

  /** Returns why requests cannot be served, or `undefined`. */
  trouble(): string | undefined {
    const [reason] = this.reasons.values();
    return reason;
  }

  /**
   * Checks a server and returns its `run_id`. A server that does not say what it is (an ACL without INFO) is accepted.
   * Rejects if there is no answer, or none for now.
   */
  async look(server: Redis): Promise<string | undefined> {
    const name = nameOf(server);
    try {
      const [about, memory] = await Promise.all([server.info('server'), server.info('memory')]);
      const reason = unsupported(about);
      if (reason === undefined) {
        this.reasons.delete(name);
      } else {
        this.reasons.set(name, reason);
        this.say(`${reason}. Requests are answered with 503`);
      }
      const policy = evicts(memory);
      if (policy !== undefined) {
        this.say(
          `maxmemory-policy is ${policy}: a full Redis would throw parts of sessions away; set it to noeviction`,
        );
      }
      return field(about, 'run_id');
    } catch (error) {
      this.reasons.delete(name);
      if (isTransient(error)) throw error;
      return undefined;
    }
  }

  /** Forgets a server that has left the cluster. */
  forget(server: Redis): void {
    this.reasons.delete(nameOf(server));
  }

  /** Warns, once. */
  say(text: string): void {
    if (this.said.has(text)) return;
    this.said.add(text);
    this.logger.warn(`mcp-anynode: ${text}`);
  }
}

/** Returns the name of a server. If Sentinel leads to another server, that one takes the same name. */
function nameOf({ options }: Redis): string {
  const { host = '', port = 0, sentinels } = options;
  return sentinels ? 'sentinel' : `${host}:${port}`;
}
