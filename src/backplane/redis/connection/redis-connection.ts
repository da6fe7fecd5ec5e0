import { setImmediate } from 'node:timers';
import type { Cluster, Redis } from 'ioredis';
import { Command as RedisCommand } from 'ioredis';
import type { Pauses } from '../../../protocol/timing/backoff.js';
import { pause, pauseAfter } from '../../../protocol/timing/backoff.js';
import { AnynodeError, unavailable } from '../../../protocol/errors.js';
import type { Clock } from '../../../protocol/timing/clock.js';
import { SharedTimer } from '../../../protocol/timing/shared-timer.js';
import { ConnectionFence } from './connection-fence.js';
import { ownClient } from './own-client.js';
import { isTransient } from './retryable-replies.js';
import type { Scripted } from '../commands/scripts.js';
import { defineScripts } from '../commands/scripts.js';
import { ServerCheck } from './server-check.js';

type NetStream = Redis['stream'];
export type Client = Scripted<Redis> | Scripted<Cluster>;

export type Command<T> = (client: Client, attempts: number) => Promise<T>;

export interface ConnectionOptions {
  clock: Clock;
  timeoutMs: number;
  logger: { warn(message: string): void };
  /** Set for an observer. It only removes sessions, which may arrive late, so earlier connections are left alone. */
  observes?: true;
  /** Called each time the connection can be used. */
  onReady(): void;
  /**
   * Called when the connection to one server of a cluster has ended. Messages that this server was about to publish may be
   * lost.
   */
  onNodeLost(): void;
}

/** The pauses between tries of a command, and between looks at a server. */
const PAUSES: Pauses = { firstMs: 20, longestMs: 250 };

/** A command and all its tries. */
interface Call {
  number: number;
  /** True if the command has timed out. */
  expired: boolean;
  /** Ends the command's wait for a connection. */
  leave: (() => void) | undefined;
}

/** The node's connection for commands (in a cluster one per master), with the settings of the caller's client. */
export class CommandConnection {
  private readonly client: Client;
  /** The only server. `undefined` in a cluster. */
  private readonly single: Redis[] | undefined;
  private readonly clock: Clock;
  private readonly timeoutMs: number;
  private readonly check: ServerCheck;
  private readonly fence = new ConnectionFence();
  /** The servers that are being looked at. */
  private readonly lookedAt = new Set<Redis>();
  /** The call that is being tried. The scripts that it sends belong to it. */
  private trying: Call | undefined;
  /** True right after connecting. Nothing is sent before the server is known to be usable. */
  private looking = false;
  private lastError: Error | undefined;
  private closed = false;
  private readonly timeouts: SharedTimer;
  /** Calls that wait for a connection. They share one listener: an outage must cost no memory per call. */
  private readonly waiting = new Set<{ number: number; resolve: () => void }>();
  private calls = 0;
  /** How many calls have begun and are not over. */
  private underWay = 0;

  constructor(
    source: string | Redis | Cluster,
    private readonly options: ConnectionOptions,
  ) {
    const { clock, timeoutMs, logger } = options;
    this.clock = clock;
    this.timeoutMs = timeoutMs;
    this.timeouts = new SharedTimer(clock, timeoutMs);
    this.check = new ServerCheck(logger);
    this.client = defineScripts(ownClient(source, timeoutMs), {
      begin: () => {
        const call = this.trying;
        return (socket) => call?.expired !== true && this.fence.isPassed(socket);
      },
      onHeldBack: () => this.lookAgain(),
    });
    if (!this.client.isCluster) this.single = [this.client as unknown as Redis];
    // The last error is kept for `trouble()`. ioredis goes on trying by itself.
    this.client.on('error', (error: Error) => (this.lastError = error));
    this.client.on('ready', () => {
      this.lastError = undefined;
      this.looking = true;
      void this.look(this.masters()).then(() => {
        this.looking = false;
        this.wake();
        options.onReady();
      });
    });
    this.client.on('end', () => this.wake());
    if (this.single !== undefined) return;
    this.client.on('+node', (node: Redis) => {
      if (this.client.status === 'ready' && node.options.readOnly !== true) void this.look([node]);
    });
    this.client.on('-node', (node: Redis) => {
      this.check.forget(node);
      if (!this.closed) options.onNodeLost();
    });
  }

  /** Looks at servers. One that does not answer delays this no longer than a command may take. */
  private async look(servers: Redis[]): Promise<void> {
    let cancelTimer = (): void => undefined;
    const timeout = new Promise<void>((resolve) => {
      cancelTimer = this.clock.after(this.timeoutMs, resolve);
    });
    await Promise.race([Promise.all(servers.map((server) => this.lookAt(server))), timeout]);
    cancelTimer();
  }

  /** Looks at a server until scripts may be sent to it, or its connection has ended. */
  private async lookAt(server: Redis): Promise<void> {
    this.lookedAt.add(server);
    try {
      for (let attempts = 0; !(await this.letPass(server)); attempts += 1) {
        await pause(pauseAfter(attempts, PAUSES), this.clock);
      }
    } catch {
      // The connection has ended. The next one will be looked at.
    }
    this.lookedAt.delete(server);
  }

  /** Lets scripts pass to a server. Resolves with false if it refuses for now. Rejects if its connection has ended. */
  private async letPass(server: Redis): Promise<boolean> {
    if (this.options.observes === true) {
      await this.check.look(server);
      this.fence.passUnfenced(server.stream);
      return true;
    }
    const asked = server.client('ID').then((id) => ({ id, socket: server.stream }));
    try {
      const [{ id, socket }, runId] = await Promise.all([asked, this.check.look(server)]);
      if (runId === undefined) this.passUnfenced(server, 'it does not say its run_id');
      else await this.fence.pass(server, socket, runId, id);
      return true;
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'ReplyError') throw error;
      if (isTransient(error)) return false;
      this.passUnfenced(server, error.message);
      return true;
    }
  }

  private passUnfenced(server: Redis, reason: string): void {
    this.fence.passUnfenced(server.stream);
    this.check.say(
      `Redis does not let this node end its own earlier connections (${reason}): ` +
        'a command that the network delays for seconds may still take effect',
    );
  }

  /**
   * Looks at servers after a script was held back. In a cluster, ioredis connects to a server by itself after a redirect,
   * and a replica may become a master without a new connection.
   */
  private lookAgain(): void {
    for (const server of this.servers()) {
      const isOpen = server.status !== 'ready' || this.fence.isPassed(server.stream);
      if (!isOpen && !this.lookedAt.has(server)) void this.lookAt(server);
    }
  }

  trouble(): string | undefined {
    const { status } = this.client;
    const unusable = this.check.trouble();
    if (unusable !== undefined) return unusable;
    return status === 'ready' ? undefined : (this.lastError?.message ?? `connection is ${status}`);
  }

  /** The options of each server, to connect to one of them. */
  nodeOptions() {
    return this.servers().map(({ options }) => options);
  }

  /** The number of the database. A cluster has only database 0. */
  get database(): number {
    return this.client.isCluster ? 0 : ((this.client as unknown as Redis).options.db ?? 0);
  }

  get isCluster(): boolean {
    return this.single === undefined;
  }

  private servers(): Redis[] {
    return this.single ?? (this.client as unknown as Cluster).nodes('all');
  }

  /** The servers through which messages can be published: in a cluster, its masters. */
  masters(): Redis[] {
    return this.single ?? (this.client as unknown as Cluster).nodes('master');
  }

  /** Names the server that has a key: in a cluster the master of its slot. There is one name for a single server. */
  serverOf(key: string): string {
    if (this.single !== undefined) return '';
    const slot = new RedisCommand('get', [key]).getSlot();
    return (this.client as unknown as Cluster).slots[slot]?.[0] ?? '';
  }

  /**
   * Runs a command until it is answered. Tries again if the connection broke or the server refuses for now. When the time is
   * up, rejects with `backplane_unavailable`, and the command may or may not have been carried out. `attempts` tells the
   * command how often it was tried before.
   */
  run<T>(command: Command<T>): Promise<T> {
    if (this.closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      const call: Call = { number: this.calls, expired: false, leave: undefined };
      this.calls += 1;
      this.underWay += 1;
      const received = this.received();
      const giveUp = (): void => {
        call.expired = true;
        call.leave?.();
        if (this.received() === received) this.hangUp();
        reject(this.closed ? closedError() : this.tooLate());
      };
      // After a stall of this process, timers run before sockets are read. The reply may have arrived long ago.
      const cancelTimer = this.timeouts.after(() => setImmediate(giveUp));
      this.attempt(command, call).then(
        (result) => {
          this.underWay -= 1;
          cancelTimer();
          resolve(result);
        },
        (error: unknown) => {
          this.underWay -= 1;
          cancelTimer();
          reject(asUnavailable(error));
        },
      );
    });
  }

  /** Returns how many bytes the servers have sent over the current connections. */
  private received(): number {
    let bytes = 0;
    for (const { stream } of this.masters())
      bytes += (stream as NetStream | undefined)?.bytesRead ?? 0;
    return bytes;
  }

  /**
   * Ends connections that swallow commands, such as those that a firewall forgot. TCP would notice only after many minutes.
   */
  private hangUp(): void {
    const silent = new Error(`Redis has sent nothing for ${this.timeoutMs} ms`);
    for (const { status, stream } of this.masters()) {
      if (status === 'ready') (stream as NetStream | undefined)?.destroy(silent);
    }
  }

  /** Tries a command until it is answered. After `expired` no caller waits for the result, so it stops at its next step. */
  private async attempt<T>(command: Command<T>, call: Call): Promise<T> {
    for (let attempts = 0; ; attempts += 1) {
      if (this.closed || this.client.status === 'end') {
        throw closedError();
      }
      if (this.client.status !== 'ready' || this.looking) {
        await new Promise<void>((resolve) => {
          const waiting = { number: call.number, resolve };
          this.waiting.add(waiting);
          // Leave nothing behind, whether the call is woken or given up.
          call.leave = () => {
            this.waiting.delete(waiting);
            resolve();
          };
        });
        if (call.expired) throw new Error('too late');
      }
      const unusable = this.check.trouble();
      if (unusable !== undefined) throw unavailable(new Error(unusable));
      try {
        return await this.start(() => command(this.client, attempts), call);
      } catch (error) {
        if (!isTransient(error)) throw error;
        // Without a connection, the call waits for one, and must not pause. All calls of a turn pause equally long, so that
        // their order stays.
        if (!call.expired && this.client.status === 'ready') {
          await pause(pauseAfter(attempts, PAUSES), this.clock);
        }
        // The call may have timed out meanwhile.
        if (call.expired) throw error;
      }
    }
  }

  /** Starts a try of a command. What it sends at once belongs to `call`. */
  private start<T>(command: () => Promise<T>, call: Call): Promise<T> {
    this.gather();
    this.trying = call;
    try {
      return command();
    } finally {
      this.trying = undefined;
    }
  }

  /**
   * Gathers commands into one write, because a system call per command costs more than the rest of it. While Redis has
   * other commands to answer, the write waits for the end of the turn of the event loop. In one turn, several replies may be
   * read one after the other, and each of them lets calls go on. If Redis has nothing else to do, the write does not wait
   * that long.
   */
  private gather(): void {
    for (const { stream } of this.masters()) {
      // Without a connection nothing is sent.
      if ((stream as NetStream | undefined) === undefined || stream.writableCorked > 0) continue;
      stream.cork();
      const write = (): void => stream.uncork();
      if (this.underWay > 1) setImmediate(write);
      else process.nextTick(write);
    }
  }

  private tooLate(): AnynodeError {
    const reason = this.trouble() ?? `no answer within ${this.timeoutMs} ms`;
    return unavailable(this.lastError ?? new Error(reason));
  }

  /** Wakes the calls that wait for a connection, in the order in which they were first made. */
  private wake(): void {
    const waiting = [...this.waiting].sort((a, b) => a.number - b.number);
    this.waiting.clear();
    for (const { resolve } of waiting) resolve();
  }

  close(): void {
    this.closed = true;
    this.client.disconnect();
    this.wake();
    this.timeouts.close();
  }
}

function closedError(): AnynodeError {
  return new AnynodeError('closed', 'The connection is closed');
}

function asUnavailable(error: unknown): Error {
  return error instanceof AnynodeError ? error : unavailable(error);
}
