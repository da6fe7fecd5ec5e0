import { Redis } from 'ioredis';
import type { Cluster } from 'ioredis';
import type { Pauses } from '../../../protocol/backoff.js';
import { pause, pauseAfter } from '../../../protocol/backoff.js';
import { AnynodeError, unavailable } from '../../../protocol/errors.js';
import type { Clock } from '../../../protocol/clock.js';
import { SharedTimer } from '../../../protocol/shared-timer.js';
import { ConnectionFence } from './connection-fence.js';
import { isTransient, refusal } from './retryable-replies.js';
import type { Scripted } from '../commands/scripts.js';
import { defineScripts } from '../commands/scripts.js';
import { ServerCheck } from './server-check.js';

/** However long Redis was away: others, who may be back sooner, call a node dead whose lease is missing for 0.9 s. */
const retryStrategy = (times: number): number => Math.min(50 * times, 500);

/**
 * Never queue what cannot be sent, never repeat by itself what may have been done: a call that fails because a
 * connection was cut is repeated by {@link CommandConnection.run}, which knows its deadline, and every script bears it.
 */
const OPTIONS = {
  lazyConnect: false,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  retryStrategy,
  /** Where no sentinel answers. The caller's client may give up then: this one would have ended for good. */
  sentinelRetryStrategy: retryStrategy,
  /** The caller's client may have other habits; the replies are read here. */
  stringNumbers: false,
  replyMapping: 'legacy',
  /** What was called first is sent first. */
  enableAutoPipelining: false,
  /** After a failover this connection may lead to a replica now: look up the master again. */
  reconnectOnError: (error: Error) => refusal(error.message) === 'READONLY',
} as const;

/** Measured with 8, 16 and 64 callers on two processors: as a first write fewer cost more than they gain, more come too late. */
const FIRST_TOGETHER = 4;

type NetStream = Redis['stream'];
export type Client = Scripted<Redis> | Scripted<Cluster>;

/** The prefix that the caller's own client puts in front of its keys; ours are put behind it, channels included. */
export function keyPrefixOf(client: Redis | Cluster): string {
  return client.options.keyPrefix ?? '';
}

/** For a command that does not send all that it has to at once. */
export interface Later {
  /** Whether the time is up. */
  isExpired(): boolean;
  /** Sends what `step` sends at once, as part of this command. */
  send<T>(step: () => Promise<T>): Promise<T>;
}

export type Command<T> = (client: Client, attempts: number, later: Later) => Promise<T>;

export interface ConnectionOptions {
  clock: Clock;
  timeoutMs: number;
  logger: { warn(message: string): void };
  /** It takes no steps but the removal of sessions, which may come late: earlier connections are left alone. */
  observes?: true;
  /** Connected, again. */
  onReady(): void;
  /** The connection to one node of a cluster has ended: what it was about to tell the others may be lost. */
  onNodeLost(): void;
}

/** Between tries of a command, and between looks at a server. */
const PAUSES: Pauses = { firstMs: 20, longestMs: 250 };

/** A command that was asked for, through all its tries. */
class Call implements Later {
  expired = false;
  /** Ends its wait for a connection. */
  leave: (() => void) | undefined;

  constructor(
    readonly number: number,
    private readonly start: <T>(step: () => Promise<T>, call: Call) => Promise<T>,
  ) {}

  isExpired(): boolean {
    return this.expired;
  }

  send<T>(step: () => Promise<T>): Promise<T> {
    return this.start(step, this);
  }
}

/** One connection (with a cluster: one per master) of our own, made like the caller's, for commands. */
export class CommandConnection {
  private readonly client: Client;
  /** The only server, but in a cluster. */
  private readonly single: Redis[] | undefined;
  private readonly clock: Clock;
  private readonly timeoutMs: number;
  private readonly check: ServerCheck;
  private readonly fence = new ConnectionFence();
  /** The servers that are being looked at. */
  private readonly lookedAt = new Set<Redis>();
  /** The call that is being tried. The scripts that it sends belong to it. */
  private trying: Call | undefined;
  /** Just connected: nothing is sent before the server is known to be usable. */
  private looking = false;
  private lastError: Error | undefined;
  private closed = false;
  private readonly timeouts: SharedTimer;
  /** What is being sent in this turn: how large the next write is to be, and how many commands are still to come for it. */
  private readonly turns = new Map<NetStream, { write: number; room: number }>();
  /** Calls that wait for a connection. They share one listener: an outage must cost no memory per call. */
  private readonly waiting = new Set<{ number: number; resolve: () => void }>();
  private calls = 0;

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
    // The reason is kept for whoever asks next; ioredis goes on trying by itself.
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

  /** A server that does not answer may hold nobody up for longer than a command could. */
  private async look(servers: Redis[]): Promise<void> {
    let cancelTimer = (): void => undefined;
    const timeout = new Promise<void>((resolve) => {
      cancelTimer = this.clock.after(this.timeoutMs, resolve);
    });
    await Promise.race([Promise.all(servers.map((server) => this.lookAt(server))), timeout]);
    cancelTimer();
  }

  /** Until scripts may be sent there, or the connection has ended. */
  private async lookAt(server: Redis): Promise<void> {
    this.lookedAt.add(server);
    try {
      for (let attempts = 0; !(await this.letPass(server)); attempts += 1) {
        await pause(pauseAfter(attempts, PAUSES), this.clock);
      }
    } catch {
      // The next connection is looked at in its turn.
    }
    this.lookedAt.delete(server);
  }

  /** Lets scripts pass to a server. `false`: it refuses for now. Rejects when the connection to it has ended. */
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
   * A script was held back. In a cluster ioredis connects to a server by itself when it is redirected, and makes a master
   * of a replica without a new connection.
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

  /** A cluster's nodes, to connect to one of them in particular. */
  nodeOptions() {
    return this.servers().map(({ options }) => options);
  }

  /** The number of the database that it uses; a cluster has one alone. */
  get database(): number {
    return this.client.isCluster ? 0 : ((this.client as unknown as Redis).options.db ?? 0);
  }

  private servers(): Redis[] {
    return this.single ?? (this.client as unknown as Cluster).nodes('all');
  }

  /** Each server that messages can be published on: with a cluster, its masters. */
  masters(): Redis[] {
    return this.single ?? (this.client as unknown as Cluster).nodes('master');
  }

  /**
   * Runs a command, again where the connection broke or the server said "not now", until it is answered or the time
   * is up: then it rejects with `backplane_unavailable`, and the command may or may not have been carried out.
   * `attempts` tells the command how often it was tried before.
   */
  run<T>(command: Command<T>): Promise<T> {
    if (this.closed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      const call = new Call(this.calls, this.start);
      this.calls += 1;
      const received = this.received();
      const giveUp = (): void => {
        call.expired = true;
        call.leave?.();
        if (this.received() === received) this.hangUp();
        reject(this.closed ? closedError() : this.tooLate());
      };
      // After a stall of this process timers run before sockets are read: the reply may have been here for long.
      const cancelTimer = this.timeouts.after(() => setImmediate(giveUp));
      this.attempt(command, call).then(
        (result) => {
          cancelTimer();
          resolve(result);
        },
        (error: unknown) => {
          cancelTimer();
          reject(asUnavailable(error));
        },
      );
    });
  }

  /** How much has come from the servers over the connections that there are. */
  private received(): number {
    let bytes = 0;
    for (const { stream } of this.masters())
      bytes += (stream as NetStream | undefined)?.bytesRead ?? 0;
    return bytes;
  }

  /** Ends connections that swallow commands (a firewall forgot them): TCP would notice in many minutes. */
  private hangUp(): void {
    const silent = new Error(`Redis has sent nothing for ${this.timeoutMs} ms`);
    for (const { status, stream } of this.masters()) {
      if (status === 'ready') (stream as NetStream | undefined)?.destroy(silent);
    }
  }

  /** After `expired` its outcome is nobody's: it stops at its next step. */
  private async attempt<T>(command: Command<T>, call: Call): Promise<T> {
    for (let attempts = 0; ; attempts += 1) {
      if (this.closed || this.client.status === 'end') {
        throw closedError();
      }
      if (this.client.status !== 'ready' || this.looking) {
        await new Promise<void>((resolve) => {
          const waiting = { number: call.number, resolve };
          this.waiting.add(waiting);
          // Woken, or given up: nothing of it is to be left behind.
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
        return await call.send(() => command(this.client, attempts, call));
      } catch (error) {
        if (call.expired || !isTransient(error)) throw error;
        // Without a connection it waits for one, and may not be late for it.
        // All of a turn wait equally long: what was called first is sent first again.
        if (this.client.status === 'ready') await pause(pauseAfter(attempts, PAUSES), this.clock);
        // The time may have run out meanwhile.
        if (call.isExpired()) throw error;
      }
    }
  }

  private readonly start = <T>(command: () => Promise<T>, call: Call): Promise<T> => {
    this.gather();
    this.trying = call;
    try {
      return command();
    } finally {
      this.trying = undefined;
    }
  };

  /**
   * What is sent in one turn of the event loop goes out in few writes: a system call per command costs more than all the
   * rest of it. Nor is it a single one: Redis would have nothing to do until all of a turn is seen to, and this process
   * nothing until Redis has answered it all, since what comes together is answered together. So there are a few commands
   * in the first write, and twice as many in each that follows.
   */
  private gather(): void {
    for (const { stream } of this.masters()) {
      // None yet, or none any more: then nothing is sent either.
      if ((stream as NetStream | undefined) === undefined) continue;
      const turn = this.turns.get(stream);
      if (turn === undefined) {
        this.turns.set(stream, { room: FIRST_TOGETHER - 1, write: FIRST_TOGETHER });
        stream.cork();
        process.nextTick(() => {
          this.turns.delete(stream);
          stream.uncork();
        });
      } else if (turn.room > 0) {
        turn.room -= 1;
      } else {
        stream.uncork();
        stream.cork();
        turn.write *= 2;
        turn.room = turn.write - 1;
      }
    }
  }

  private tooLate(): AnynodeError {
    const reason = this.trouble() ?? `no answer within ${this.timeoutMs} ms`;
    return unavailable(this.lastError ?? new Error(reason));
  }

  /** What was called first is sent first, though it may have failed before, and come here after others. */
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

function ownClient(source: string | Redis | Cluster, timeoutMs: number): Redis | Cluster {
  // Each call ends a silent connection when its time is up. This is for one of several masters that is silent alone, and
  // has to be longer: ioredis does not read what is there before it ends a connection, so that a process that stood
  // still for that long would lose all replies.
  const socketTimeout = 2 * timeoutMs;
  const own = { ...OPTIONS, keyPrefix: '', socketTimeout };
  if (typeof source === 'string') return new Redis(source, own);
  if (source.isCluster) {
    const cluster = source as Cluster;
    const options = {
      ...cluster.options,
      lazyConnect: false,
      enableOfflineQueue: false,
      enableAutoPipelining: false,
      keyPrefix: '',
      // A replica may not know yet what was stored a moment ago.
      scaleReads: 'master',
      clusterRetryStrategy: retryStrategy,
      redisOptions: {
        ...cluster.options.redisOptions,
        keyPrefix: '',
        stringNumbers: false,
        replyMapping: 'legacy',
        socketTimeout,
      },
    };
    return cluster.duplicate([], options as Parameters<Cluster['duplicate']>[1]);
  }
  return (source as Redis).duplicate(own);
}

function closedError(): AnynodeError {
  return new AnynodeError('closed', 'The connection is closed');
}

function asUnavailable(error: unknown): Error {
  return error instanceof AnynodeError ? error : unavailable(error);
}
