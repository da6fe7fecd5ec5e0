import type {
  Backplane,
  Commit,
  CommitReply,
  JoinOptions,
  Membership,
  NewSession,
  NodeMessage,
  Position,
} from '../../src/backplane/backplane.js';
import { memoryBackplane } from '../../src/backplane/memory/memory.js';
import { Lease } from '../../src/backplane/redis/lease.js';
import type { LinkFaults } from './link.js';
import { Link } from './link.js';
import type { Random } from './random.js';
import type { Process, Scheduler } from './scheduler.js';

export interface BackplaneFaults extends LinkFaults {
  /** How long a message between nodes may take. */
  busMs: number;
  /** Of a message for a follower: that it is overtaken, or comes twice. Others keep the order that the contract promises. */
  reorder: number;
  duplicate: number;
}

/** What really happened in the backplane, told as it happens. */
export interface Witness {
  created(nodeId: string, session: NewSession, positions: Position[]): void;
  committed(nodeId: string, commit: Commit, reply: CommitReply): void;
  removed(sessionId: string): void;
}

/**
 * The memory backplane behind a network: calls are delayed, repeated and lost, messages between nodes too, and a node
 * counts as alive as long as its lease runs, which the lease of the Redis backplane renews.
 */
export class SimBackplane {
  private readonly memory = memoryBackplane();
  /** Nodes that somebody was told are dead. */
  readonly foundDead = new Set<string>();
  private readonly leases = new Map<string, number>();
  private readonly members = new Map<string, SimMembership>();

  constructor(
    readonly scheduler: Scheduler,
    readonly random: Random,
    readonly faults: () => BackplaneFaults,
    readonly witness: Witness,
  ) {}

  /** What one node is given. */
  for(process: Process): Backplane {
    return {
      join: (options) => {
        const member = new SimMembership(this, this.memory, options, process);
        this.members.set(options.nodeId, member);
        return member;
      },
    };
  }

  member(nodeId: string): SimMembership | undefined {
    return this.members.get(nodeId);
  }

  /** Whether the lease was not there any more. */
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
}

/** Those that one node sends to another with `send`; all others are published by a step of a session. */
const SENT = new Set<NodeMessage['type']>(['release', 'released']);

const RESUBSCRIBE_MS = 60;

export class SimMembership implements Membership {
  readonly link: Link;
  private readonly inner: Membership;
  private readonly lease: Lease;
  private readonly channels = new Map<string, (ms: number, run: () => void) => void>();
  /** Which subscription this is: a message on its way to one that has ended is lost. */
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
    this.link = new Link(scheduler, random, process, clock, commandTimeoutMs, shared.faults);
    this.inner = memory.join({
      ...options,
      clock: { ...clock, now: () => Math.floor(scheduler.now) },
      onMessage: (message) => this.deliver(message),
    });
    this.lease = new Lease({
      leaseMs,
      clock,
      renew: (probe) =>
        this.link.run('lease', () => {
          const anew = shared.renew(nodeId, leaseMs);
          this.lease.onProbeSent(probe);
          this.toNode('probe', () => this.lease.onProbe(probe));
          return Promise.resolve(anew);
        }),
      onDeaf: () => this.loseSubscription('deaf', 0),
      onLapse: () => options.onLapse(),
    });
    this.subscribe(RESUBSCRIBE_MS / 2);
  }

  /** The subscriber's connection ends, and cannot be made again for a while: what is published meanwhile is lost. */
  loseSubscription(why: string, forMs: number): void {
    if (this.state === 'closed') return;
    this.shared.scheduler.note(`${this.process.name} subscriber lost (${why})`);
    this.state = 'connecting';
    this.subscription += 1;
    this.unsubscribable = this.shared.scheduler.now + forMs;
    this.subscribe(forMs + RESUBSCRIBE_MS);
  }

  /** The subscriber's connection stays, and nothing comes any more: its node has to find out. */
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
    // What was sent again, because the reply was lost, comes after what was sent first.
    if (bears && random.chance(faults().duplicate)) this.toNode(isEvent ? undefined : key, run);
  }

  /** In order with all that goes by the same `key`. */
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

  create(session: NewSession): Promise<Position[] | false> {
    let first: Position[] | false | undefined;
    return this.link.run('create', async () => {
      // The script knows its own session again.
      if (first !== undefined) return first;
      first = await this.inner.create(session);
      if (first !== false) {
        this.shared.witness.created(this.options.nodeId, session, first);
      }
      return first;
    });
  }

  commit(commit: Commit): Promise<CommitReply> {
    return this.link.run('commit', async (attempt) => {
      const reply = await this.inner.commit(commit);
      const again = attempt > 0 ? ` (attempt ${attempt + 1})` : '';
      this.shared.scheduler.note(
        `${this.options.nodeId} commits ${commit.number}${again} ${commit.sessionId}: ` +
          commit.operations.map(({ type }, at) => `${type} ${statusOf(reply, at)}`).join(', '),
      );
      this.shared.witness.committed(this.options.nodeId, commit, reply);
      return reply;
    });
  }

  attach(request: Parameters<Membership['attach']>[0]) {
    return this.link.run('attach', async () => {
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

  read(request: Parameters<Membership['read']>[0]) {
    return this.link.run('read', () => this.inner.read(request));
  }

  touch(requests: Parameters<Membership['touch']>[0]) {
    return this.link.run('touch', () => this.inner.touch(requests));
  }

  remove(...args: Parameters<Membership['remove']>): Promise<boolean> {
    return this.link.run('remove', async (attempt) => {
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

  list(...args: Parameters<Membership['list']>) {
    return this.link.run('list', () => this.inner.list(...args));
  }

  history(...args: Parameters<Membership['history']>) {
    return this.link.run('history', () => this.inner.history(...args));
  }

  openStreams(sessionId: string) {
    return this.link.run('openStreams', () => this.inner.openStreams(sessionId));
  }

  loadState(sessionId: string) {
    return this.link.run('loadState', () => this.inner.loadState(sessionId));
  }

  storeState(...args: Parameters<Membership['storeState']>) {
    let first: Awaited<ReturnType<Membership['storeState']>> | undefined;
    return this.link.run(
      'storeState',
      async () => (first ??= await this.inner.storeState(...args)),
    );
  }

  send(nodeId: string, message: NodeMessage): Promise<void> {
    return this.link.run('send', () => this.inner.send(nodeId, message));
  }

  alive(nodeIds: string[]): Promise<Set<string>> {
    return this.link.run('alive', () => {
      const alive = new Set(nodeIds.filter((id) => this.shared.isAlive(id)));
      for (const id of nodeIds) if (!alive.has(id)) this.shared.foundDead.add(id);
      return Promise.resolve(alive);
    });
  }

  async leave(): Promise<void> {
    if (this.state === 'closed') return;
    this.state = 'closed';
    this.lease.close();
    try {
      await this.link.run('leave', () => {
        this.shared.release(this.options.nodeId);
        return Promise.resolve();
      });
    } catch {
      // It cannot be reached: the lease runs out by itself.
    }
    this.link.close();
    await this.inner.leave();
  }
}

function statusOf(reply: CommitReply, at: number): string {
  if (reply.status === 'gone') return 'gone';
  const result = reply.results[at];
  if (result?.status === 'appended') {
    return `appended ${result.position.n}${result.ended ? ' end' : ''}`;
  }
  return result?.status ?? '?';
}

function brief(message: NodeMessage): string {
  switch (message.type) {
    case 'event':
      return `event ${message.sessionId} ${message.stream} ${message.event.position.n}`;
    case 'release':
    case 'hangup':
    case 'orphaned':
    case 'taken':
      return `${message.type} ${message.sessionId} ${message.stream} ${message.token}`;
    case 'released':
      return `released ${message.ref} ${message.position?.n ?? '-'}`;
    default:
      return `${message.type} ${message.sessionId}`;
  }
}
