import type {
  AuditOutboxes,
  Backplane,
  Commit,
  CommitReply,
  JoinOptions,
  LogId,
  JoinedBackplane,
  NewSession,
  NodeMessage,
  Position,
} from '../../src/backplane/backplane.js';
import { LOG_START, TooManySessions } from '../../src/backplane/backplane.js';
import { MemoryBackplane } from '../../src/backplane/memory/memory-backplane.js';
import { Lease } from '../../src/backplane/redis/connection/lease.js';
import type { SdkStoreAccess } from '../../src/backplane/sdk-store-access.js';
import type { AuditTrail } from './audit-trail.js';
import type { LinkFaults } from './link.js';
import { Link } from './link.js';
import type { Random } from './random.js';
import type { Process, Scheduler } from './scheduler.js';
import { brief, statusOf } from './backplane-notes.js';
import { SharedOutbox, SimOutboxes } from './backplane-outbox.js';
import { SharedTasks, SimTasks } from './backplane-tasks.js';
import { Snapshot } from './snapshot.js';
import type { TaskLedger } from './task-ledger.js';

export interface BackplaneFaults extends LinkFaults {
  /** How long a message between nodes may take. */
  busMs: number;
  /**
   * The chances that a message for a follower is overtaken or comes twice. Other messages keep the order that the contract
   * promises.
   */
  reorder: number;
  duplicate: number;
}

/** Is told what happens in the backplane, as soon as it happens. */
export interface Witness {
  readonly tasks: TaskLedger;
  created(nodeId: string, session: NewSession, positions: Position[]): void;
  committed(nodeId: string, commit: Commit, reply: CommitReply): void;
  removed(sessionId: string): void;
  /** Called when the session does not exist any more. If it was not removed before, it has expired. */
  gone(sessionId: string): void;
  /** Called when the log of the session begins at another entry. With `undefined`, the log is empty. */
  logBegins(sessionId: string, logId: LogId | undefined): void;
  /**
   * Remembers what there is. The returned function is called with the sessions that have lost everything stored since then,
   * and with those among them whose owner is another one because of that.
   */
  mark(): (sessionIds: string[], reowned: string[]) => void;
}

/**
 * The memory backplane behind a network. Calls and messages between nodes are delayed, repeated and lost. A node counts as
 * alive until its lease runs out. The lease is renewed by the code of the Redis backplane.
 */
export class SimBackplane {
  /** The error with which the backplane refuses steps that write. With `undefined`, it carries them out. */
  refusal: string | undefined;
  /** Until this time, no node can connect. */
  awayUntil = 0;
  private readonly memory = new MemoryBackplane();
  private readonly leases = new Map<string, number>();
  private readonly members = new Map<string, JoinedSimBackplane>();
  private readonly stores = new Map<string, Set<symbol>>();
  /** The task store that all nodes share. */
  readonly tasks: SharedTasks;
  readonly outbox = new SharedOutbox(this.memory.outbox);
  /** What is told which entries the logs have. `undefined`: nodes keep no audit trail. */
  trail: AuditTrail | undefined;
  /** The log id at which the log of each session begins, as the witness was told. */
  private readonly begins = new Map<string, LogId | undefined>();
  /** How far the clock of the present Redis master is ahead. */
  private skewMs = 0;

  constructor(
    readonly scheduler: Scheduler,
    readonly random: Random,
    readonly faults: () => BackplaneFaults,
    readonly witness: Witness,
  ) {
    this.tasks = new SharedTasks(this.memory.sdkStores['tasks'], witness.tasks, scheduler);
  }

  /** Returns the backplane of one node. */
  for(process: Process): Backplane {
    return {
      join: (options) => {
        const member = new JoinedSimBackplane(this, this.memory, options, process);
        this.members.set(options.nodeId, member);
        return member;
      },
    };
  }

  member(nodeId: string): JoinedSimBackplane | undefined {
    return this.members.get(nodeId);
  }

  now(): number {
    return Math.floor(this.scheduler.now + this.skewMs);
  }

  /** Whether the session exists. This is not a step of a node, so nothing can delay it or make it fail. */
  has(sessionId: string): boolean {
    return this.memory.sessions.has(sessionId);
  }

  /** Tells the witness which sessions do not exist any more, and where the logs of the others begin. */
  tellWhatIsKept(): void {
    const { sessions } = this.memory;
    this.tellWhatIsLogged();
    for (const [id, begins] of this.begins) {
      const session = sessions.get(id);
      if (session === undefined || session.expiresAt <= this.now()) {
        this.begins.delete(id);
        this.witness.gone(id);
        continue;
      }
      const logId = session.log.after(LOG_START, 1)[0]?.logId;
      if (logId === begins) continue;
      this.begins.set(id, logId);
      this.witness.logBegins(id, logId);
    }
  }

  private tellWhatIsLogged(): void {
    const { trail } = this;
    if (trail === undefined) return;
    for (const [id, { log }] of this.memory.sessions) {
      trail.log(id, log.after(trail.lastOf(id) ?? LOG_START, Infinity));
    }
  }

  /** The state that the application has stored in a session. */
  stateOf(sessionId: string): string | undefined {
    return this.memory.sessions.get(sessionId)?.state.value;
  }

  /** The sessions whose end the witness has not been told. */
  sessions(): string[] {
    return [...this.begins.keys()];
  }

  created(sessionId: string): void {
    this.begins.set(sessionId, undefined);
  }

  /**
   * The tokens of the `storeState` calls that the record of a session remembers. A failover loses them together with the
   * state.
   */
  storesOf(sessionId: string): Set<symbol> {
    const stores = this.stores.get(sessionId) ?? new Set();
    this.stores.set(sessionId, stores);
    return stores;
  }

  /** Renews a lease. Returns true if the lease did not exist any more. */
  renew(nodeId: string, leaseMs: number): boolean {
    const anew = !this.isAlive(nodeId);
    this.leases.set(nodeId, this.scheduler.now + leaseMs);
    return anew;
  }

  release(nodeId: string): void {
    this.leases.delete(nodeId);
  }

  isAlive(nodeId: string): boolean {
    return (this.leases.get(nodeId) ?? 0) > this.scheduler.now;
  }

  /**
   * Remembers what a replica of the Redis master has received so far. The returned function makes the replica the master,
   * and moves the clock by `clockMs`. Keys for which `isLost` returns true were on the master that has failed. They lose
   * everything that was written since.
   */
  replicate(): (isLost: (key: string) => boolean, clockMs: number) => void {
    const { sessions } = this.memory;
    const before = new Map(
      [...sessions].map(([id, session]) => [
        id,
        { session, snapshot: new Snapshot([session, this.storesOf(id)]) },
      ]),
    );
    const leases = new Map(this.leases);
    const loseTasks = this.tasks.replicate();
    const loseOutbox = this.outbox.replicate();
    const loseTrail = this.trail?.mark();
    const lose = this.witness.mark();
    return (isLost, clockMs) => {
      const lost = [...new Set([...before.keys(), ...sessions.keys()])].filter(isLost);
      const reowned = lost.filter((id) => {
        const had = before.get(id);
        const owner = sessions.get(id)?.record().owner;
        had?.snapshot.restore();
        if (had === undefined) {
          sessions.delete(id);
          this.stores.delete(id);
        } else sessions.set(id, had.session);
        return owner !== had?.session.record().owner;
      });
      for (const id of new Set([...leases.keys(), ...this.leases.keys()])) {
        if (!isLost(id)) continue;
        const until = leases.get(id);
        if (until === undefined) this.leases.delete(id);
        else this.leases.set(id, until);
      }
      this.skewMs += clockMs;
      if (isLost('tasks')) loseTasks();
      if (this.trail !== undefined) {
        loseOutbox();
        loseTrail?.();
      }
      lose(lost, reowned);
      for (const id of sessions.keys()) this.begins.set(id, undefined);
      this.scheduler.note(`the backplane goes back, and loses what is new of ${lost.join(' ')}`);
    };
  }

  /** Ends all connections. No node can connect for `ms`, and then each one after a random time of up to `apartMs`. */
  cutAll(why: string, { ms, apartMs, arrives }: { ms: number; apartMs: number; arrives: boolean }) {
    this.awayUntil = Math.max(this.awayUntil, this.scheduler.now + ms);
    for (const member of this.members.values()) {
      const downMs = ms + this.random.next() * apartMs;
      member.link.cut(why, { downMs, arrives });
      member.loseSubscription(why, ms + this.random.next() * apartMs);
    }
  }
}

/** Messages that do not wait for the steps of their session. They arrive in the order in which their node has sent them. */
const SENT = new Set<NodeMessage['type']>(['release', 'released', 'held']);

const RESUBSCRIBE_MS = 60;

export class JoinedSimBackplane implements JoinedBackplane {
  readonly link: Link;
  readonly sdkStores: SdkStoreAccess;
  readonly audit: AuditOutboxes;
  /** Called when the node has closed all else. */
  beforeLeave: () => Promise<void> = () => Promise.resolve();
  private readonly tasks: SimTasks;
  private readonly inner: JoinedBackplane;
  private readonly lease: Lease;
  private readonly channels = new Map<string, (ms: number, run: () => void) => void>();
  /** The number of the current subscription. A message on its way to an earlier subscription is lost. */
  private subscription = 0;
  private state: 'connecting' | 'on' | 'deaf' | 'closed' = 'connecting';
  private unsubscribable = 0;

  constructor(
    private readonly shared: SimBackplane,
    memory: Backplane,
    private readonly options: JoinOptions,
    private readonly process: Process,
  ) {
    const { scheduler, random } = shared;
    const { nodeId, clock, leaseMs, commandTimeoutMs } = options;
    const onReconnected = (): void => this.lease.reconnected();
    this.link = new Link(
      ...([scheduler, random, process, clock, commandTimeoutMs] as const),
      ...([shared.faults, onReconnected] as const),
    );
    this.inner = memory.join({
      ...options,
      clock: { ...clock, now: () => shared.now(), elapsed: () => shared.now() },
      onMessage: (message) => this.deliver(message),
    });
    const { sdkStores, audit } = this.inner;
    if (sdkStores === undefined || audit === undefined)
      throw new Error('The memory backplane has all stores');
    this.tasks = new SimTasks({
      ...{ inner: sdkStores.tasks, shared: shared.tasks, nodeId },
      read: (...args) => this.link.run(...args),
      write: (...args) => this.write(...args),
    });
    this.sdkStores = { ...sdkStores, tasks: this.tasks };
    this.audit = new SimOutboxes({
      ...{ inner: audit, shared: shared.outbox, note: (text) => scheduler.note(text) },
      read: (...args) => this.link.run(...args),
      write: (...args) => this.write(...args),
    });
    this.lease = new Lease({
      leaseMs,
      clock,
      renew: (probe) =>
        this.link.run('lease', () => {
          this.lease.onProbeSent(probe);
          this.toNode('probe', () => this.lease.onProbe(probe));
          // The probe is published, even if the lease may not be written.
          const { refusal } = shared;
          if (refusal !== undefined) return Promise.reject(new Error(refusal));
          return Promise.resolve(shared.renew(nodeId, leaseMs));
        }),
      onDeaf: () => this.loseSubscription('deaf', 0),
      onLapse: () => options.onLapse(),
    });
    const away = shared.awayUntil - scheduler.now;
    if (away > 0) this.link.cut('not connected yet', { downMs: away });
    this.unsubscribable = shared.awayUntil;
    this.subscribe(RESUBSCRIBE_MS / 2);
  }

  /** Runs a step that writes. */
  private write<T>(name: string, execute: (attempt: number) => Promise<T>): Promise<T> {
    return this.link.run(name, (attempt) => {
      const { refusal } = this.shared;
      return refusal === undefined ? execute(attempt) : Promise.reject(new Error(refusal));
    });
  }

  /**
   * Ends the connection of the subscriber. It cannot be made again for `forMs`, and messages that are published meanwhile
   * are lost.
   */
  loseSubscription(why: string, forMs: number): void {
    if (this.state === 'closed') return;
    this.shared.scheduler.note(`${this.process.name} subscriber lost (${why})`);
    this.state = 'connecting';
    this.subscription += 1;
    this.unsubscribable = this.shared.scheduler.now + forMs;
    this.subscribe(forMs + RESUBSCRIBE_MS);
  }

  /** Lets the connection of the subscriber stay, but no message arrives any more. The node has to find that out by itself. */
  goDeaf(): void {
    if (this.state === 'on') this.state = 'deaf';
  }

  private subscribe(ms: number): void {
    const { subscription } = this;
    this.shared.scheduler.after(
      Math.max(ms, this.unsubscribable - this.shared.scheduler.now),
      () => {
        if (this.state !== 'connecting' || subscription !== this.subscription) return;
        this.state = 'on';
        this.shared.scheduler.note(`${this.process.name} subscribed`);
        this.lease.resubscribed();
        this.options.onLost();
      },
      this.process,
    );
  }

  private deliver(message: NodeMessage): void {
    const { random, faults, scheduler } = this.shared;
    const isEvent = message.type === 'event';
    const key = SENT.has(message.type) ? 'sent' : 'sessionId' in message ? message.sessionId : '';
    const run = (): void => {
      scheduler.note(`${this.process.name} hears ${brief(message)}`);
      this.options.onMessage(message);
    };
    const loose = isEvent && random.chance(faults().reorder);
    this.toNode(loose ? undefined : key, run);
    const bears = isEvent || SENT.has(message.type) || message.type === 'gone';
    // A message that is sent again because the reply was lost arrives after the first one.
    if (bears && random.chance(faults().duplicate)) this.toNode(isEvent ? undefined : key, run);
  }

  /** Delivers to the node, in order with all other messages of the same `key`. */
  private toNode(key: string | undefined, run: () => void): void {
    const { scheduler, random, faults } = this.shared;
    const { subscription } = this;
    if (this.state !== 'on') return;
    const heard = (): void => {
      if (this.state === 'on' && subscription === this.subscription) run();
    };
    const ms = random.next() * faults().busMs;
    if (key === undefined) {
      scheduler.after(ms, heard, this.process);
      return;
    }
    const channel = this.channels.get(key) ?? scheduler.channel(this.process);
    this.channels.set(key, channel);
    channel(ms, heard);
  }

  ready(): Promise<void> {
    return this.lease.held();
  }

  trouble(): string | undefined {
    if (this.state === 'closed') return 'closed';
    return this.link.isUp ? this.lease.trouble() : 'connection is down';
  }

  async create(session: NewSession): Promise<Position[] | false> {
    let first: Position[] | false | undefined;
    const created = await this.write('create', async () => {
      // The script recognizes its own session when it is repeated, if the session still exists.
      if (first !== undefined && this.shared.has(session.id)) return first;
      try {
        first = await this.inner.create(session);
      } catch (error) {
        if (error instanceof TooManySessions) return error; // this is an answer, and not a failed step
        throw error;
      }
      if (first !== false) {
        this.shared.created(session.id);
        this.shared.witness.created(this.options.nodeId, session, first);
      }
      return first;
    });
    if (created instanceof TooManySessions) throw created;
    return created;
  }

  commit(commit: Commit): Promise<CommitReply> {
    return this.write('commit', async (attempt) => {
      const reply = await this.inner.commit(commit);
      const again = attempt > 0 ? ` (attempt ${attempt + 1})` : '';
      this.shared.scheduler.note(
        `${this.options.nodeId} commits ${commit.number}${again} ${commit.sessionId}: ` +
          commit.operations
            .map((operation, at) => {
              const stream = 'stream' in operation ? (operation.stream ?? '-') : '-';
              return `${operation.type} ${stream} ${statusOf(reply, at)}`;
            })
            .join(', '),
      );
      this.shared.witness.committed(this.options.nodeId, commit, reply);
      return reply;
    });
  }

  attach(request: Parameters<JoinedBackplane['attach']>[0]) {
    return this.write('attach', async () => {
      const reply = await this.inner.attach(request);
      this.shared.scheduler.note(
        `${this.options.nodeId} attaches ${request.token} to ${request.sessionId} ${request.stream}: ` +
          (reply.status === 'attached'
            ? `after ${reply.position.n}${reply.previous === undefined ? '' : `, from ${reply.previous.token}`}`
            : reply.status),
      );
      return reply;
    });
  }

  read(request: Parameters<JoinedBackplane['read']>[0]) {
    return this.link.run('read', () => this.inner.read(request));
  }

  touch(requests: Parameters<JoinedBackplane['touch']>[0]) {
    return this.write('touch', () => this.inner.touch(requests));
  }

  remove(...args: Parameters<JoinedBackplane['remove']>): Promise<boolean> {
    return this.write('remove', async (attempt) => {
      const removed = await this.inner.remove(...args);
      if (removed) {
        this.shared.scheduler.note(`${this.options.nodeId} removes ${args[0]}`);
        this.shared.witness.removed(args[0]);
      }
      return removed || attempt > 0;
    });
  }

  identify(sessionId: string) {
    return this.link.run('identify', () => this.inner.identify(sessionId));
  }

  load(sessionId: string) {
    return this.link.run('load', () => this.inner.load(sessionId));
  }

  list(...args: Parameters<JoinedBackplane['list']>) {
    return this.link.run('list', () => this.inner.list(...args));
  }

  history(...args: Parameters<JoinedBackplane['history']>) {
    return this.link.run('history', () => this.inner.history(...args));
  }

  openStreams(sessionId: string) {
    return this.link.run('openStreams', () => this.inner.openStreams(sessionId));
  }

  loadState(sessionId: string) {
    return this.link.run('loadState', () => this.inner.loadState(sessionId));
  }

  storeState(...args: Parameters<JoinedBackplane['storeState']>) {
    const [sessionId] = args;
    const token = Symbol('store');
    return this.write('storeState', async () => {
      // This is as in `state.lua`. The tokens are lost in a failover only together with other data of the session.
      const stores = this.shared.storesOf(sessionId);
      if (this.shared.has(sessionId) && stores.has(token)) return 'stored';
      const reply = await this.inner.storeState(...args);
      if (reply === 'stored') stores.add(token);
      return reply;
    });
  }

  send(nodeId: string, message: NodeMessage): Promise<void> {
    return this.link.run('send', () => this.inner.send(nodeId, message));
  }

  alive(nodeIds: string[]): Promise<Set<string>> {
    // A look at leases is a write, as with Redis.
    return this.write('alive', () => {
      return Promise.resolve(new Set(nodeIds.filter((id) => this.shared.isAlive(id))));
    });
  }

  steadySince(): number | undefined {
    return this.lease.steadySince();
  }

  timeOf(id: string): Promise<number> {
    return this.link.run('timeOf', () => this.inner.timeOf(id));
  }

  async leave(): Promise<void> {
    if (this.state === 'closed') return;
    await this.beforeLeave();
    this.state = 'closed';
    this.lease.close();
    try {
      await this.link.run('leave', () => {
        this.shared.release(this.options.nodeId);
        return Promise.resolve();
      });
    } catch {
      // The backplane cannot be reached, so the lease runs out by itself.
    }
    this.link.close();
    await this.inner.leave();
  }
}
