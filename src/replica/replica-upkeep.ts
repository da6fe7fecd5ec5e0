import type { Effect, SessionRecord } from '../backplane/backplane.js';
import type { Revision } from '../backplane/revision.js';
import { FIRST_REVISION, follows, isLower, UNKNOWN_REVISION } from '../backplane/revision.js';
import { sessionEnded } from '../protocol/errors.js';
import type { JsonRpcMessage } from '../protocol/json/jsonrpc.js';
import { isInitialized } from '../protocol/json/jsonrpc.js';
import type { NodeContext } from '../stream/node-context.js';
import type { BuiltReplica, ReplicaBuilder } from './build-replica.js';
import type { InitializeExchange } from './initialize/initialize-exchange.js';
import type { Cause, DeliveryContext, FactoryContext, Mounted, ReplicaEvents } from './replica.js';
import type { ReplicaTransport } from './replica-transport.js';
import type { Shape } from './session-shape.js';
import {
  effectOfAnswer,
  shapeOf,
  unlike,
  UNSHAPED,
  withEffect,
  withoutEffect,
} from './session-shape.js';

/**
 * Keeps the replica of a session on this node in step with the record. It builds the replica, and remembers the shape and
 * the revision that the replica was told. It brings the replica to a later record by replaying what the replica lacks.
 */
export class ReplicaUpkeep {
  /** The record's revision that the replica has been brought to, or `undefined` without a replica. */
  revision: Revision | undefined;
  private replica: BuiltReplica | undefined;
  private shape: Shape = UNSHAPED;
  /** Changes that the server has carried out, but that `shape` may lack. The next catch-up replays these parts of the record. */
  private uncertain: Effect[] = [];
  /** True during a catch-up. A change that the server carries out meanwhile may come before the replayed one, or after it. */
  private isCatchingUp = false;
  /** The last build or catch-up in the queue. They run one at a time. */
  private settling: Promise<void> = Promise.resolve();
  private failure: { at: number; error: unknown } | undefined;
  private ended = false;

  constructor(
    private readonly id: string,
    private readonly node: NodeContext,
    private readonly builder: ReplicaBuilder,
    private readonly eventsOf: (replica: () => BuiltReplica) => ReplicaEvents,
  ) {}

  get hasReplica(): boolean {
    return this.replica !== undefined;
  }

  get transport(): ReplicaTransport | undefined {
    return this.replica?.transport;
  }

  /** The shape that the replica was told. */
  get known(): Shape {
    return this.shape;
  }

  /** Whether this is the current replica, and not one that was discarded. */
  isCurrent(replica: BuiltReplica): boolean {
    return this.replica === replica;
  }

  /** Builds the replica of a new session, to answer `initialize`. The caller calls `begun` when the session is stored. */
  async begin(context: FactoryContext, mounted: Mounted | undefined): Promise<ReplicaTransport> {
    this.replica = await this.builder.connect(context, mounted, this.eventsOf);
    return this.replica.transport;
  }

  /** Notes that the replica has answered `initialize`, and that the session is stored. */
  begun({ request, answer }: Pick<InitializeExchange, 'request' | 'answer'>): void {
    this.revision = FIRST_REVISION;
    const effect = effectOfAnswer(request, answer);
    this.shape = effect === undefined ? UNSHAPED : withEffect(UNSHAPED, effect);
  }

  /**
   * Makes sure that there is a replica with the shape that `record` has. Concurrent callers share one build. Rejects if the
   * factory or the server fails, or if the session has ended meanwhile.
   */
  async prepare(record: SessionRecord | undefined, cause: Cause | undefined): Promise<void> {
    if (record === undefined && this.replica !== undefined) return;
    const askedAt = this.node.clock.elapsed();
    const turn = this.settling.then(() => this.settleOnce(askedAt, record, cause));
    this.settling = turn.catch(() => undefined);
    await turn;
  }

  /**
   * If a try has failed since the caller asked, the caller gets that failure. So a factory that hangs is not called for
   * each of many waiting callers.
   */
  private async settleOnce(
    askedAt: number,
    record: SessionRecord | undefined,
    cause: Cause | undefined,
  ): Promise<void> {
    if (this.failure !== undefined && this.failure.at > askedAt) throw this.failure.error;
    try {
      await this.settle(record, cause);
    } catch (error) {
      this.failure = { at: this.node.clock.elapsed(), error };
      throw error;
    }
  }

  private async settle(record: SessionRecord | undefined, cause: Cause | undefined): Promise<void> {
    this.throwIfEnded();
    if (this.replica === undefined) {
      // Without `record`, there was a replica when the caller asked, and it was discarded since.
      const needed = record ?? (await this.load());
      if (needed === undefined) throw sessionEnded();
      this.throwIfEnded();
      const { telemetry, clock } = this.node;
      const began = clock.elapsed();
      const replica = await this.builder.rehydrate(needed, cause, this.eventsOf);
      telemetry?.measure('rehydrate', clock.elapsed() - began);
      if (this.isEnded()) {
        await replica.discard();
        this.throwIfEnded();
      }
      this.replica = replica;
      this.shape = shapeOf(needed);
      this.revision = needed.revision;
    } else if (record !== undefined && record.revision !== this.revision) {
      await this.catchUpWith(this.replica, record);
    }
  }

  private async catchUpWith(replica: BuiltReplica, record: SessionRecord): Promise<void> {
    // A record with a lower revision may be out of date. Or a failover has lost the later revisions, and this record is
    // current.
    const isOlder = isLower(record.revision, this.revision ?? UNKNOWN_REVISION);
    const current = isOlder ? await this.load() : record;
    if (current === undefined || this.replica !== replica) return;
    const shape = shapeOf(current);
    const told = this.shape;
    // The replay begins with `initialized`. A message that comes during the rest of the replay must not repeat it.
    if (shape.active && told.initialize !== undefined) this.shape = { ...told, active: true };
    const { uncertain } = this;
    const differs = uncertain.reduce((from, effect) => unlike(from, shape, effect), told);
    this.isCatchingUp = true;
    try {
      await this.builder.replayShape(replica.transport, differs, shape);
    } finally {
      this.isCatchingUp = false;
    }
    this.uncertain = this.uncertain.filter((effect) => !uncertain.includes(effect));
    // The server may have got `initialized` meanwhile, and must not get it again.
    this.shape = { ...shape, active: shape.active || this.shape.active };
    this.revision = this.uncertain.length > 0 ? UNKNOWN_REVISION : current.revision;
  }

  /**
   * Notes a change that the replica has carried out and the record now has. `revision` is the record's revision with the
   * change. `deliveredAt` is the revision that the replica had when it got the request.
   */
  async took(effect: Effect, revision: Revision, deliveredAt: Revision | undefined): Promise<void> {
    const { replica } = this;
    // The replica was discarded, or was already brought to the record that has the change.
    if (replica === undefined || this.revision === revision) return;
    // Another node's change was replayed while this request ran. In the record this change is the later one, so it is
    // replayed again.
    if (deliveredAt !== this.revision) {
      const shape = withEffect(this.shape, effect);
      await this.builder.replayShape(replica.transport, withoutEffect(shape, effect), shape);
      if (this.replica !== replica) return;
    }
    // `shape` is read again, because it may have changed during the replay.
    this.shape = withEffect(this.shape, effect);
    // If this is not the next revision, another node has made a change too, before or after this one.
    const isNext = !this.isCatchingUp && follows(this.revision, revision);
    if (isNext) this.revision = revision;
    else this.mayHaveTaken(effect);
  }

  /**
   * Notes a change that the server has carried out, but that the record may not have. Reads the record, and brings the
   * replica to it.
   */
  mayHaveTaken(effect: Effect): void {
    if (this.replica === undefined) return;
    this.uncertain = [...this.uncertain, effect];
    this.revision = UNKNOWN_REVISION;
    this.refresh().catch(() => undefined);
  }

  /** Brings the replica to the record as it is now. If that fails, the next request does it. */
  async refresh(): Promise<void> {
    const record = await this.load();
    if (record !== undefined && this.hasReplica) await this.prepare(record, undefined);
  }

  private async load(): Promise<SessionRecord | undefined> {
    const { backplane, settings, nodeId } = this.node;
    const record = await backplane.load(this.id);
    if (record === undefined) this.node.notices.ended(this.id);
    else if (settings.owned && record.owner !== nodeId) this.node.notices.ownedElsewhere(this.id);
    return record;
  }

  /** Hands a message to the replica. Without a replica, the message is dropped. */
  deliver(message: JsonRpcMessage, context?: DeliveryContext): void {
    if (isInitialized(message)) {
      this.shape = { ...this.shape, active: true };
    }
    try {
      this.replica?.transport.deliver(message, context);
    } catch (error) {
      // The exception of a server must not keep this node from handling the messages that came with this one.
      this.node.logger.error(`mcp-anynode: the server threw at a message: ${String(error)}`);
    }
  }

  /** Notes that the replica got the message that changed the record to `revision`. */
  advanceTo(revision: Revision): void {
    if (follows(this.revision, revision)) this.revision = revision;
  }

  /** Resolves when no build or catch-up is under way. */
  async settled(): Promise<void> {
    await this.settling;
  }

  /** Makes sure that no replica is built from now on. */
  end(): void {
    this.ended = true;
  }

  /** Forgets the replica, and returns it for the caller to discard. */
  drop(): BuiltReplica | undefined {
    const { replica } = this;
    this.replica = undefined;
    this.revision = undefined;
    this.shape = UNSHAPED;
    this.uncertain = [];
    return replica;
  }

  private isEnded(): boolean {
    return this.ended;
  }

  private throwIfEnded(): void {
    if (this.ended) throw sessionEnded();
  }
}
