import { createHash } from 'node:crypto';
import { Command } from 'ioredis';
import type { Cluster, Redis } from 'ioredis';

export type Argument = string | number;

/**
 * A script, sent by its hash: whole over a connection over which it has not gone before, and where Redis has forgotten it.
 * What `defineCommand` of ioredis does, at three quarters of its cost: that goes through the arguments three times, and makes
 * one promise more.
 */
export class Script {
  /** The connections over which it has gone whole. */
  readonly sent = new WeakSet();
  /** In the protocol of Redis (https://redis.io/docs/latest/develop/reference/protocol-spec), up to its arguments. */
  private readonly byHash: string;
  private readonly whole: string;
  readonly hash: string;

  constructor(lua: string, keys: number) {
    this.hash = createHash('sha1').update(lua).digest('hex');
    this.byHash = encoded(['evalsha', this.hash, keys]);
    this.whole = encoded(['eval', lua, keys]);
  }

  /** `args`: its keys, and then the others. */
  run(client: Redis | Cluster, args: Argument[]): Promise<unknown> {
    const call = new ScriptCall(this, args, () => void client.sendCommand(call));
    return client.sendCommand(call) as Promise<unknown>;
  }

  encode(args: Argument[], whole: boolean): string {
    return `*${args.length + 3}\r\n${whole ? this.whole : this.byHash}${encoded(args)}`;
  }
}

class ScriptCall extends Command {
  /** The connection over which only the hash was sent. */
  private trusting: object | undefined;

  /** `again` sends it once more; its promise is the same. */
  constructor(
    private readonly script: Script,
    private readonly all: Argument[],
    again: () => void,
  ) {
    // Of the arguments ioredis needs one key, for its slot: the others are in the same one.
    super('evalsha', [script.hash, '1', all[0] ?? ''], { replyEncoding: 'utf8' });
    const { reject } = this;
    this.reject = (error) => {
      const { trusting } = this;
      if (trusting === undefined || !error.message.startsWith('NOSCRIPT')) {
        reject(error);
        return;
      }
      script.sent.delete(trusting);
      again();
    };
  }

  override toWritable(socket: object): string {
    const { script, all } = this;
    this.trusting = script.sent.has(socket) ? socket : undefined;
    script.sent.add(socket);
    return script.encode(all, this.trusting === undefined);
  }
}

function encoded(args: readonly Argument[]): string {
  let text = '';
  for (const argument of args) {
    const value = typeof argument === 'string' ? argument : `${argument}`;
    text += `$${Buffer.byteLength(value)}\r\n${value}\r\n`;
  }
  return text;
}
