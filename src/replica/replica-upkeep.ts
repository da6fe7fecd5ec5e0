import type { Effect, SessionRecord } from '../backplane/backplane.js';
import type { Revision } from '../backplane/revision.js';
import { FIRST_REVISION, follows, isLower, UNKNOWN_REVISION } from '../backplane/revision.js';
import { sessionEnded } from '../protocol/errors.js';
import type { JsonRpcMessage, JsonRpcRequest } from '../protocol/jsonrpc.js';
import { isInitialized } from '../protocol/jsonrpc.js';
import type { NodeContext } from '../stream/node-context.js';
import type { BuiltReplica, ReplicaBuilder } from './build-replica.js';
import type { Cause, DeliveryContext, FactoryContext, ReplicaEvents } from './replica.js';
import type { ReplicaTransport } from './replica-transport.js';
import type { Shape } from './session-shape.js';
import { shapeOf, unlike, UNSHAPED, withEffect, withoutEffect } from './session-shape.js';

/**
 * The replica of a session on this node, if there is one, and what it has been told of the session: its shape, as of a
 * revision of the record. Builds the replica, and brings it to a later record by telling it what it has missed.
 */
export class ReplicaUpkeep {
  /** The record's revision that the replica has been brought to; `undefined`: there is no replica. */
  revision: Revision | undefined;
  private replica: BuiltReplica | undefined;
  private shape: Shape = UNSHAPED;
  /** Changes that the server has carried out, though `shape` may not have them: the record is replayed in what they decide. */
  private uncertain: Effect[] = [];
  /** The server is being told what it has missed. What it carries out meanwhile may come before that, or after it. */
  private isCatchingUp = false;
  /** Building, or catching up: one at a time, and what comes meanwhile waits its turn. */
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

  /** What the replica knows of its session. */
  get known(): Shape {
    return this.shape;
  }

  /** Whether this is the replica, and not one that was discarded. */
  isCurrent(replica: BuiltReplica): boolean {
    return this.replica === replica;
  }

  /** Builds the replica that is to answer `initialize`. Its session is not known to it before `begun` is called. */
  async begin(context: FactoryContext): Promise<ReplicaTransport> {
    this.replica = await this.builder.connect(context, this.eventsOf);
    return this.replica.transport;
  }

  /** The replica has answered `initialize`, and the session is stored. */
  begun({ params }: JsonRpcRequest): void {
    this.revision = FIRST_REVISION;
    this.shape = { ...UNSHAPED, initialize: JSON.stringify(params ?? {}) };
  }

  /**
   * Makes sure that there is a replica which knows all that `record` says. Shared: concurrent callers wait for the same
   * one. Rejects where the factory or the server fails, or when the session ended meanwhile.
   */
  async prepare(record: SessionRecord | undefined, cause: Cause | undefined): Promise<void> {
    if (record === undefined && this.replica !== undefined) return;
    const asked = this.node.clock.elapsed();
    const turn = this.settling.then(() => this.settleOnce(asked, record, cause));
    this.settling = turn.catch(() => undefined);
    await turn;
  }

  /** Whoever asked before an attempt failed has had that attempt: one that hangs is not waited for once per caller. */
  private async settleOnce(
    asked: number,
    record: SessionRecord | undefined,
    cause: Cause | undefined,
  ): Promise<void> {
    if (this.failure !== undefined && this.failure.at > asked) throw this.failure.error;
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
      // None any more, though there was one when the caller asked: what it was told is not what we need.
      const needed = record ?? (await this.load());
      if (needed === undefined) throw sessionEnded();
      this.throwIfEnded();
      const replica = await this.builder.rehydrate(needed, cause, this.eventsOf);
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
    // An older one was read earlier; or the backplane has lost the later ones (a failover), and then it counts.
    const isOlder = isLower(record.revision, this.revision ?? UNKNOWN_REVISION);
    const current = isOlder ? await this.load() : record;
    if (current === undefined || this.replica !== replica) return;
    const shape = shapeOf(current);
    const told = this.shape;
    // The server hears at once that its client is initialized: what comes while the server hears the rest must not say so again.
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
    // Handed to the server once, `initialized` is not to come again.
    this.shape = { ...shape, active: shape.active || this.shape.active };
    this.revision = this.uncertain.length > 0 ? UNKNOWN_REVISION : current.revision;
  }

  /**
   * The replica has carried out what the session now remembers, as its `revision`. `deliveredAt`: the revision that the
   * replica was at when it got the request.
   */
  async took(effect: Effect, revision: Revision, deliveredAt: Revision | undefined): Promise<void> {
    const { replica } = this;
    // This replica has been brought to the record with the change in it, or is none any more.
    if (replica === undefined || this.revision === revision) return;
    // Another node's change was replayed after the replica had carried this one out: this one is the later.
    if (deliveredAt !== this.revision) {
      const shape = withEffect(this.shape, effect);
      await this.builder.replayShape(replica.transport, withoutEffect(shape, effect), shape);
      if (this.replica !== replica) return;
    }
    // The replica may have been told more while that was replayed.
    this.shape = withEffect(this.shape, effect);
    // Else another node has changed something too, before or after this change.
    const isNext = !this.isCatchingUp && follows(this.revision, revision);
    if (isNext) this.revision = revision;
    else this.mayHaveTaken(effect);
  }

  /** The server has carried the change out. Whether the record has it, and what came after it, the record says. */
  mayHaveTaken(effect: Effect): void {
    if (this.replica === undefined) return;
    this.uncertain = [...this.uncertain, effect];
    this.revision = UNKNOWN_REVISION;
    this.refresh().catch(() => undefined);
  }

  /** Brings the replica to the record as it is now. A failure is made good with the next request. */
  async refresh(): Promise<void> {
    const record = await this.load();
    if (record !== undefined && this.hasReplica) await this.prepare(record, undefined);
  }

  private async load(): Promise<SessionRecord | undefined> {
    const { membership, settings, nodeId } = this.node;
    const record = await membership.load(this.id);
    if (record === undefined) this.node.notices.ended(this.id);
    else if (settings.owned && record.owner !== nodeId) this.node.notices.disowned(this.id);
    return record;
  }

  /** Hands a message to the replica. Without a replica it has no addressee. */
  deliver(message: JsonRpcMessage, context?: DeliveryContext): void {
    if (isInitialized(message)) {
      this.shape = { ...this.shape, active: true };
    }
    try {
      this.replica?.transport.deliver(message, context);
    } catch (error) {
      // Its own affair: what came along with the message, and what follows from it here, goes on.
      this.node.logger.error(`mcp-anynode: the server threw at a message: ${String(error)}`);
    }
  }

  /** The replica has the message that made the record `revision`. */
  advanceTo(revision: Revision): void {
    if (follows(this.revision, revision)) this.revision = revision;
  }

  /** Resolves when the replica is built and knows what it is being told. */
  async settled(): Promise<void> {
    await this.settling;
  }

  /** No replica is built from now on. */
  end(): void {
    this.ended = true;
  }

  /** Lets go of the replica, which the caller discards. */
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
