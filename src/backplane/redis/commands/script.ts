import { createHash } from 'node:crypto';
import { Command } from 'ioredis';
import type { Cluster, Redis } from 'ioredis';

export type Argument = string | number;

/** Decides over which connections scripts are sent. */
export interface ScriptGate {
  /**
   * Called for each script that is about to be sent. The returned function is asked each time before the script is written.
   */
  begin(): (socket: object) => boolean;
  /** Called when a script was not written. Its promise rejects as if the connection had ended. */
  onHeldBack(): void;
}

/** The error of Redis for an unknown hash. A cluster's client that may not redirect wraps the error. */
const FORGOTTEN = /^(?:Too many Cluster redirections\. Last error: ReplyError: )?NOSCRIPT/;

/**
 * A script that is sent by its hash. It is sent whole the first time on each connection, and again if Redis has forgotten
 * it. `defineCommand` of ioredis does that too. But it cannot hold a script back, always declares the same keys, and sends a
 * script again that has timed out.
 */
export class Script {
  /** The connections over which the whole script was sent. */
  readonly sent = new WeakSet();
  readonly hash: string;
  private readonly byHash: string;

  /**
   * `declaredAgain` is how many keys a call declares when it is sent again. While a cluster moves the slot of the keys to
   * another server, Redis answers `TRYAGAIN` to a script as long as one declared key is missing. The script knows the names
   * of the others.
   *
   * `inOrder` means that the script is always sent whole. If Redis has forgotten a script, its call is sent again after
   * later calls. Another node may have loaded the script meanwhile, and the later calls would overtake the first.
   */
  constructor(
    private readonly lua: string,
    private readonly keys: number,
    private readonly declaredAgain = keys,
    private readonly inOrder = false,
  ) {
    this.hash = createHash('sha1').update(lua).digest('hex');
    this.byHash = bulk('evalsha') + bulk(this.hash);
  }

  /** Calls the script. `args` are its keys, followed by the other arguments. */
  run(client: Redis | Cluster, args: Argument[], gate: ScriptGate | undefined): Promise<unknown> {
    const call = new ScriptCall(this, args, gate, () => void client.sendCommand(call));
    return client.sendCommand(call) as Promise<unknown>;
  }

  /** True if the hash suffices on this connection. If not, the caller is about to send the whole script. */
  goesByHash(socket: object): boolean {
    if (this.inOrder) return false;
    if (this.sent.has(socket)) return true;
    this.sent.add(socket);
    return false;
  }

  /** Returns EVAL or EVALSHA in the form in which Redis reads commands. With `isAgain`, fewer keys are declared. */
  commandText(args: Argument[], isWhole: boolean, isAgain: boolean): string {
    const declared = isAgain ? this.declaredAgain : this.keys;
    const undeclared = this.keys - declared;
    let text = `*${3 + args.length - undeclared}\r\n`;
    text += isWhole ? bulk('eval') + bulk(this.lua) : this.byHash;
    text += bulk(declared);
    for (let at = 0; at < args.length; at += 1) {
      if (at < declared || at >= this.keys) text += bulk(args[at] ?? '');
    }
    return text;
  }
}

/** Returns an argument in the form in which Redis reads it. */
function bulk(argument: Argument): string {
  const text = String(argument);
  return `$${Buffer.byteLength(text)}\r\n${text}\r\n`;
}

class ScriptCall extends Command {
  /** The connection over which only the hash was sent. */
  private trusting: object | undefined;
  private heldBack = false;
  /** True if this call was sent before and Redis refused it, for now or because it did not know the script. */
  private isAgain = false;
  private readonly mayPass: ((socket: object) => boolean) | undefined;

  /** `again` sends the call once more, with the same promise. */
  constructor(
    private readonly script: Script,
    private readonly all: Argument[],
    private readonly gate: ScriptGate | undefined,
    again: () => void,
  ) {
    // ioredis needs one key, for the slot. It shows arguments in traces and errors. The others contain data of clients, so
    // ioredis does not get them.
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
        // The result of the command that was written instead does not matter.
        refuse();
        return;
      }
      const { trusting } = this;
      // After a timeout the call is not sent again, because its caller may have done something else since.
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
      // ioredis expects a reply.
      return `*1\r\n${bulk('ping')}`;
    }
    this.trusting = script.goesByHash(socket) ? socket : undefined;
    const isWhole = this.trusting === undefined;
    const { isAgain } = this;
    this.isAgain = true;
    return script.commandText(all, isWhole, isAgain);
  }

  /**
   * A client of ioredis 6, which may be the caller's, calls this on a command that may be of ioredis 5, which lacks it. It
   * matters only for commands whose replies ioredis changes.
   */
  override setReplyContext(): void {
    // The replies of scripts are not changed.
  }
}
