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

/** That Redis does not know the hash; a cluster's client that may not redirect wraps what it gets. */
const FORGOTTEN = /^(?:Too many Cluster redirections\. Last error: ReplyError: )?NOSCRIPT/;

/**
 * A script, sent by its hash: whole over a connection over which it has not gone before, and where Redis has forgotten it.
 * `defineCommand` of ioredis does that, too. But it cannot hold a script back, declares the same keys each time, and sends a
 * script again that has timed out.
 */
export class Script {
  /** The connections over which it has gone whole. */
  readonly sent = new WeakSet();
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
    private readonly lua: string,
    private readonly keys: number,
    private readonly declaredAgain = keys,
    private readonly inOrder = false,
  ) {
    this.hash = createHash('sha1').update(lua).digest('hex');
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

  /** The arguments of EVAL or EVALSHA. `isAgain`: fewer keys are declared. */
  argumentsOf(args: Argument[], isWhole: boolean, isAgain: boolean): string[] {
    const declared = isAgain ? this.declaredAgain : this.keys;
    const first = isWhole ? this.lua : this.hash;
    return [first, declared, ...args.slice(0, declared), ...args.slice(this.keys)].map(String);
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
    // ioredis needs one key, for its slot. It shows the arguments to traces, and adds them to errors: the others have what clients
    // send, so they are there only while the command is written.
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

  override toWritable(socket: object): string | Buffer {
    const { script, all } = this;
    this.heldBack = this.mayPass?.(socket) === false;
    if (this.heldBack) {
      this.trusting = undefined;
      this.gate?.onHeldBack();
      // ioredis expects a reply.
      return this.written(socket, 'ping', []);
    }
    this.trusting = script.goesByHash(socket) ? socket : undefined;
    const isWhole = this.trusting === undefined;
    const { isAgain } = this;
    this.isAgain = true;
    const args = script.argumentsOf(all, isWhole, isAgain);
    return this.written(socket, isWhole ? 'eval' : 'evalsha', args);
  }

  private written(socket: object, name: string, args: string[]): string | Buffer {
    const shown = { name: this.name, args: this.args };
    Object.assign(this, { name, args });
    const text = super.toWritable(socket);
    Object.assign(this, shown);
    return text;
  }

  /**
   * Asked by a client of ioredis 6, which may be the caller's, of a command that may be of ioredis 5, which has no such
   * method. What it would say concerns only commands whose replies ioredis changes.
   */
  override setReplyContext(): void {
    // No script's is changed.
  }
}
