import { createHash } from 'node:crypto';
import { Command } from 'ioredis';
import type { Cluster, Redis } from 'ioredis';

export type Argument = string | number;

/** Decides over which connections scripts are sent. */
export interface ScriptGate {
  /** Called for each script that is about to be sent. What it returns is asked each time before the script is written. */
  begin(): (socket: object) => boolean;
  /** A script was not written. Its promise rejects as if the connection had ended. */
  onHeldBack(): void;
}

/** Written in place of a script that is held back, as ioredis expects a reply. */
const PING = '*1\r\n$4\r\nPING\r\n';

/** That Redis does not know the hash; a cluster's client that may not redirect wraps what it gets. */
const FORGOTTEN = /^(?:Too many Cluster redirections\. Last error: ReplyError: )?NOSCRIPT/;

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
  /** The same with fewer declared keys. */
  private readonly again: { byHash: string; whole: string };
  readonly hash: string;

  /**
   * `declaredAgain`: how many keys a call declares when it is sent again. While the slot of its keys is moved to another
   * server of a cluster, Redis answers `TRYAGAIN` to a script as long as one declared key is missing. The script knows the
   * names of the others.
   *
   * `inOrder`: sent whole each time. Where Redis has forgotten a script, a call of it is sent again behind those that came
   * after it, some of which another node may have made known again meanwhile: they would overtake it.
   */
  constructor(
    lua: string,
    private readonly keys: number,
    private readonly declaredAgain = keys,
    private readonly inOrder = false,
  ) {
    this.hash = createHash('sha1').update(lua).digest('hex');
    this.byHash = encoded(['evalsha', this.hash, keys]);
    this.whole = encoded(['eval', lua, keys]);
    this.again = {
      byHash: encoded(['evalsha', this.hash, declaredAgain]),
      whole: encoded(['eval', lua, declaredAgain]),
    };
  }

  /** `args`: its keys, and then the others. */
  run(client: Redis | Cluster, args: Argument[], gate: ScriptGate | undefined): Promise<unknown> {
    const call = new ScriptCall(this, args, gate, () => void client.sendCommand(call));
    return client.sendCommand(call) as Promise<unknown>;
  }

  /** Whether its hash will do over this connection; if not, it is about to go whole. */
  goesByHash(socket: object): boolean {
    if (this.inOrder) return false;
    if (this.sent.has(socket)) return true;
    this.sent.add(socket);
    return false;
  }

  encode(args: Argument[], whole: boolean, isAgain: boolean): string {
    const { keys, declaredAgain } = this;
    const begin = isAgain
      ? this.again[whole ? 'whole' : 'byHash']
      : this[whole ? 'whole' : 'byHash'];
    const sent =
      isAgain && declaredAgain < keys
        ? [...args.slice(0, declaredAgain), ...args.slice(keys)]
        : args;
    return `*${sent.length + 3}\r\n${begin}${encoded(sent)}`;
  }
}

class ScriptCall extends Command {
  /** The connection over which only the hash was sent. */
  private trusting: object | undefined;
  private heldBack = false;
  /** Redis has had this call already, and refused it: there, for now, or because it does not know the script. */
  private isAgain = false;
  private readonly mayPass: ((socket: object) => boolean) | undefined;

  /** `again` sends it once more; its promise is the same. */
  constructor(
    private readonly script: Script,
    private readonly all: Argument[],
    private readonly gate: ScriptGate | undefined,
    again: () => void,
  ) {
    // Of the arguments ioredis needs one key, for its slot: the others are in the same one.
    super('evalsha', [script.hash, '1', all[0] ?? ''], { replyEncoding: 'utf8' });
    this.mayPass = gate?.begin();
    const { reject, resolve } = this;
    const refuse = (): void => reject(new Error('The connection was not ready for scripts'));
    this.resolve = (reply: unknown) => {
      if (this.heldBack) refuse();
      else resolve(reply);
    };
    this.reject = (error) => {
      if (this.heldBack) {
        // Whatever became of what was written in its place.
        refuse();
        return;
      }
      const { trusting } = this;
      // Rejected once, for the time it took, it is not sent again: its caller may have done something else since.
      this.trusting = undefined;
      if (trusting === undefined || !FORGOTTEN.test(error.message)) {
        reject(error);
        return;
      }
      script.sent.delete(trusting);
      again();
    };
  }

  override toWritable(socket: object): string {
    const { script, all } = this;
    this.heldBack = this.mayPass?.(socket) === false;
    if (this.heldBack) {
      this.trusting = undefined;
      this.gate?.onHeldBack();
      return PING;
    }
    this.trusting = script.goesByHash(socket) ? socket : undefined;
    const { isAgain } = this;
    this.isAgain = true;
    return script.encode(all, this.trusting === undefined, isAgain);
  }

  /**
   * Asked by a client of ioredis 6, which may be the caller's, of a command that may be of ioredis 5, which has no such
   * method. What it would say concerns only commands whose replies ioredis changes.
   */
  override setReplyContext(): void {
    // No script's is changed.
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
