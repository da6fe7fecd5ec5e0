import type { Cluster, Redis, RedisOptions } from 'ioredis';
import { AnynodeError, auditFull } from '../../protocol/errors.js';
import { LogLimit } from '../../protocol/log-limit.js';
import type {
  ApplicationState,
  AttachReply,
  AttachRequest,
  Backplane,
  Commit,
  CommitReply,
  JoinOptions,
  LogEntry,
  JoinedBackplane,
  NewSession,
  NodeMessage,
  Page,
  Position,
  ReadRequest,
  Streams,
  TouchReply,
  TouchRequest,
} from '../backplane.js';
import { ANY_PRINCIPAL, TooManySessions } from '../backplane.js';
import { attachArguments, createArguments, pushArguments } from './commands/script-arguments.js';
import { formatMessage } from './commands/message-format.js';
import { RedisOutboxes } from './audit/redis-outboxes.js';
import { SessionOutboxes } from './audit/session-outboxes.js';
import { handleMessage } from './connection/handle-message.js';
import { leaseInfoOf } from './lease-info.js';
import type { Command } from './connection/redis-connection.js';
import { keyPrefixOf } from './connection/own-client.js';
import { CommandConnection } from './connection/redis-connection.js';
import { readEnds } from './stream-ends.js';
import { parseOpenStreams } from './streams-hash.js';
import { TurnsPerServer } from './connection/fair-turns.js';
import { Lease } from './connection/lease.js';
import { PROBE, renewLease } from './connection/renew-lease.js';
import { RedisKeys } from './redis-keys.js';
import { redisAddressOf } from './connection/redis-address.js';
import { Principals } from './principal-index.js';
import { redisSdkStores } from './sdk-stores/redis-sdk-stores.js';
import {
  attachReply,
  commitReply,
  createdPositions,
  history,
  page,
  verifiedRecord,
} from './commands/parse-replies.js';
import type { Argument } from './commands/script.js';
import { commitScript } from './commands/scripts.js';
import { touchSessions } from './commands/touch-sessions.js';
import { SessionIndex } from './session-index.js';
import { SessionStates } from './session-states.js';
import { SessionSteps } from './session-steps.js';
import { SessionReader } from './session-reader.js';
import { Subscriber } from './connection/subscriber.js';

/** The most bytes of a page of a session's history. While Redis reads a page, it serves no other client. */
const HISTORY_BYTES = 1024 * 1024;

/** Says which Redis `redisBackplane()` uses, and how. */
export interface RedisBackplaneOptions {
  /** A URL, or a client whose settings (TLS, user, Sentinel, Cluster…) are copied. The client is neither used nor closed. */
  redis: string | Redis | Cluster;
  /** Prefix of all Redis keys and channels. Default `mcp`. */
  prefix?: string;
}

/** Makes a backplane in Redis ≥ 6.2 or Valkey: single, Sentinel or Cluster. Each node makes two connections of its own. */
export function redisBackplane({ redis, prefix = 'mcp' }: RedisBackplaneOptions): Backplane {
  const outer = typeof redis === 'string' ? '' : keyPrefixOf(redis);
  return { join: (options) => new JoinedRedisBackplane(redis, `${outer}${prefix}`, options) };
}

const GONE = { status: 'gone' } as const;

class JoinedRedisBackplane implements JoinedBackplane {
  readonly sdkStores: ReturnType<typeof redisSdkStores>;
  readonly audit: RedisOutboxes;
  readonly address: string;
  /** Only in a cluster. With a single server, a wake-up is lost only together with the subscriber's connection. */
  readonly ends?: NonNullable<Streams['ends']>;
  private readonly connection: CommandConnection;
  private readonly subscriber: Subscriber;
  private readonly lease: Lease;
  private readonly redisKeys: RedisKeys;
  private readonly index: SessionIndex;
  private readonly outboxes: SessionOutboxes;
  private readonly principals: Principals;
  private readonly sessionReader: SessionReader;
  private readonly turns = new TurnsPerServer((key) => this.connection.serverOf(key));
  private readonly steps: SessionSteps;
  private readonly states: SessionStates;
  private left = false;

  constructor(
    redis: string | Redis | Cluster,
    prefix: string,
    private readonly options: JoinOptions,
  ) {
    this.address = redisAddressOf(redis);
    if (typeof redis !== 'string' && redis.isCluster) {
      this.ends = (requests) => readEnds(this.connection, this.redisKeys, requests);
    }
    const { clock, nodeId, leaseMs, commandTimeoutMs, logger } = options;
    this.connection = new CommandConnection(redis, {
      ...{ clock, logger, timeoutMs: commandTimeoutMs },
      onReady: () => {
        this.outboxes.forget();
        this.lease.reconnected();
      },
      onNodeLost: () => {
        this.outboxes.forget();
        options.onLost();
      },
    });
    const { connection } = this;
    const redisKeys = new RedisKeys(prefix, connection.database);
    this.redisKeys = redisKeys;
    this.steps = new SessionSteps(connection, redisKeys, options);
    this.index = new SessionIndex(connection, redisKeys);
    this.audit = new RedisOutboxes(connection, redisKeys, options);
    this.outboxes = new SessionOutboxes(connection, redisKeys, options);
    this.principals = new Principals(prefix, (id) => redisKeys.record(id), options);
    this.states = new SessionStates(connection, redisKeys, options);
    this.sessionReader = new SessionReader(connection, redisKeys, prefix, this.outboxes);
    const about = leaseInfoOf(clock);
    this.whenLeft.catch(() => undefined); // avoids an unhandled rejection if no call waits
    let turn = Math.floor(Math.random() * 1000);
    const refusals = new LogLimit(clock);
    this.subscriber = new Subscriber({
      channel: this.redisKeys.channel(nodeId),
      target: (): RedisOptions | undefined => {
        const nodes = this.connection.nodeOptions();
        turn += 1;
        return nodes[turn % Math.max(nodes.length, 1)];
      },
      onMessage: (text) => this.receive(text),
      onSubscribed: () => {
        this.lease.resubscribed();
        options.onLost();
      },
      onRefused: (message) =>
        refusals.pass('subscribe', (more) =>
          options.logger.warn(
            `mcp-anynode: Redis refuses SUBSCRIBE: ${message}. Nodes need pub/sub: check the rights of the user, and that no proxy without pub/sub is in front${more}`,
          ),
        ),
      clock,
    });
    const { turns, subscriber } = this;
    const shared = { redisKeys, connection, subscriber, turns };
    this.sdkStores = redisSdkStores({ ...options, ...shared, prefix });
    this.lease = new Lease({
      leaseMs,
      clock,
      renew: (probe) =>
        renewLease(probe, {
          ...{ connection, leaseMs, about },
          ...{ key: redisKeys.node(nodeId), channel: redisKeys.channel(nodeId) },
          hasLeft: () => this.left,
          onProbeSent: () => this.lease.onProbeSent(probe),
        }),
      onLapse: () => options.onLapse(),
      onDeaf: () => {
        options.logger.warn(
          'mcp-anynode: the subscriber is connected but hears nothing; renewing it',
        );
        this.subscriber.renew();
      },
    });
  }

  async ready(): Promise<void> {
    if (this.left) await this.whenLeft;
    await Promise.race([this.lease.held(), this.whenLeft]);
  }

  trouble(): string | undefined {
    if (this.left) return 'closed';
    return (
      this.connection.trouble() ??
      this.lease.trouble() ??
      (this.subscriber.subscribed ? undefined : (this.subscriber.refused ?? 'not subscribed'))
    );
  }

  async create(session: NewSession): Promise<Position[] | false> {
    const keys = this.redisKeys.ofSession(session.id);
    const outbox = this.outboxes.ofBeginning(session.id);
    const args = createArguments(session, this.options, outbox);
    // These steps are one command, so that they share one time limit. To repeat them does no harm.
    const { most } = session;
    const { ids, entered } = await this.connection.run(async (client) => {
      const created = (await this.outboxes.registered(client, session.id, outbox, () =>
        client['anynode:create'](...keys, ...args),
      )) as string[] | '' | 'full';
      if (created === 'full') throw auditFull();
      if (created === '') return { ids: created };
      const [outcome] = await Promise.all([
        most === undefined ? undefined : this.principals.enter(client, { ...session, most }),
        this.index.add(client, session.id),
      ]);
      return { ids: created, entered: outcome };
    });
    if (ids === '') return false;
    if (entered !== undefined && entered !== 'entered') {
      // No client has learned of the session yet.
      await this.remove(session.id, ANY_PRINCIPAL);
      throw new TooManySessions(entered);
    }
    this.index.tidy();
    return createdPositions(ids, session);
  }

  commit({ sessionId, number, operations, after }: Commit): Promise<CommitReply> {
    const { nodeId, sessionTtlMs, pendingTtlMs, retention } = this.options;
    const outbox = this.outboxes.ofCommit(sessionId, operations);
    const args: Argument[] = [
      ...this.redisKeys.ofSession(sessionId),
      ...[nodeId, number, retention.maxBytes ?? '', sessionTtlMs, pendingTtlMs],
      ...[retention.maxEvents, retention.maxAgeMs, this.redisKeys.channel(''), sessionId],
      ...[after ?? '', outbox],
    ];
    for (const operation of operations) pushArguments(args, operation);
    const script = commitScript(operations);
    return this.steps.run<CommitReply>(sessionId, GONE, () =>
      this.connection
        .run((client) =>
          this.outboxes.registered(client, sessionId, outbox, () => client[script](args)),
        )
        .then((reply) => commitReply(sessionId, reply)),
    );
  }

  async attach(request: AttachRequest) {
    const { sessionId, cursor } = request;
    // Only a connection with a cursor is logged.
    const outbox = cursor === undefined ? '' : this.outboxes.ofContinuation(sessionId);
    const args = [
      ...this.redisKeys.ofSession(sessionId),
      ...attachArguments(request, this.options, this.redisKeys.channel('')),
      outbox,
    ];
    // Each look at a part of the log is a step of its own.
    return this.steps.run<AttachReply>(sessionId, GONE, async () => {
      for (let looked = ''; ;) {
        const reply = await this.inTurn(sessionId, async (client, attempts) => {
          // Redis may have carried out an earlier attempt. Then the answer has to say so, and the caller gives the stream up.
          if (attempts === 0 && request.isWanted?.() === false) return undefined;
          return (await this.outboxes.registered(client, sessionId, outbox, () =>
            client['anynode:attach'](...args, looked),
          )) as string[];
        });
        if (reply === undefined) return { status: 'unwanted' };
        if (reply[0] !== 'further') return attachReply(reply);
        looked = reply[1] ?? '';
      }
    });
  }

  async read({ sessionId, stream, after, maxBytes, token }: ReadRequest) {
    const keys = this.redisKeys.ofSession(sessionId);
    const reader = token === undefined ? '' : `${this.options.nodeId}:${token}`;
    return this.steps.run<Page>(sessionId, GONE, async () =>
      page(
        await this.inTurn(sessionId, (client) =>
          client['anynode:read'](...keys, stream, after.n, after.logId, maxBytes, reader),
        ),
      ),
    );
  }

  touch(requests: TouchRequest[]): Promise<TouchReply[]> {
    const { connection, redisKeys, steps } = this;
    return touchSessions(requests, this.options, { connection, redisKeys, steps });
  }

  remove(sessionId: string, principal: string | typeof ANY_PRINCIPAL): Promise<boolean> {
    return this.steps.run(sessionId, false, () => this.sessionReader.remove(sessionId, principal));
  }

  load(sessionId: string) {
    return this.steps.run(sessionId, undefined, async () => {
      const record = await this.sessionReader.load(sessionId);
      return record && verifiedRecord(record);
    });
  }

  identify(sessionId: string) {
    return this.steps.run(sessionId, undefined, () => this.sessionReader.identify(sessionId));
  }

  async openStreams(sessionId: string) {
    const [, key] = this.redisKeys.ofSession(sessionId);
    const fields = await this.steps.run(sessionId, {}, () =>
      this.connection.run((client) => client.hgetall(key)),
    );
    return parseOpenStreams(fields);
  }

  list(after: string | undefined, count: number) {
    return this.sessionReader.list(after, count);
  }

  history(sessionId: string, after: string, count: number): Promise<LogEntry[]> {
    const args = [...this.redisKeys.ofSession(sessionId), after, count, HISTORY_BYTES];
    return this.steps.run(sessionId, [], async () =>
      history(await this.inTurn(sessionId, (client) => client['anynode:history'](...args))),
    );
  }

  loadState(sessionId: string) {
    return this.steps.run(sessionId, undefined, () => this.states.load(sessionId));
  }

  storeState(...args: Parameters<ApplicationState['storeState']>) {
    return this.steps.run<'stored' | 'conflict' | 'gone'>(args[0], 'gone', () =>
      this.states.store(...args),
    );
  }

  async send(nodeId: string, message: NodeMessage): Promise<void> {
    const [key, channel] = [this.redisKeys.node(nodeId), this.redisKeys.channel(nodeId)];
    await this.connection.run((client) =>
      client['anynode:send'](key, channel, formatMessage(message)),
    );
  }

  async alive(nodeIds: string[]): Promise<Set<string>> {
    // GETEX changes nothing here, but counts as a write. So a Redis that refuses renewals of leases refuses this too, and a
    // missing lease does not look like a dead node. In a cluster that holds for each master.
    const held = await this.connection.run((client) =>
      Promise.all(nodeIds.map((id) => client.getex(this.redisKeys.node(id)))),
    );
    return new Set(nodeIds.filter((_, at) => held[at] !== null));
  }

  steadySince(): number | undefined {
    return this.lease.steadySince();
  }

  async timeOf(id: string): Promise<number> {
    const key = this.redisKeys.record(id); // in the same slot as the key of a task with this id
    return Number(await this.connection.run((client) => client['anynode:time'](key)));
  }

  async leave(): Promise<void> {
    if (this.left) return;
    this.left = true;
    this.lease.close();
    this.subscriber.close();
    try {
      await this.connection.run((client) => client.del(this.redisKeys.node(this.options.nodeId)));
    } catch {
      // Redis cannot be reached, so the lease runs out by itself.
    }
    this.connection.close();
    this.wakeLeft();
  }

  /** Runs a command that looks through the log of a session, when it is the session's turn. */
  private inTurn<T>(sessionId: string, command: Command<T>): Promise<T> {
    return this.turns.take(this.redisKeys.record(sessionId), () => this.connection.run(command));
  }

  private wakeLeft: () => void = () => undefined;
  private readonly whenLeft = new Promise<void>((_, reject) => {
    this.wakeLeft = () => reject(new AnynodeError('closed', 'This node has left the backplane'));
  });

  private receive(text: string): void {
    if (text.startsWith(PROBE)) {
      this.lease.onProbe(text.slice(PROBE.length));
      return;
    }
    handleMessage(text, (message) => this.options.onMessage(message), this.options.logger);
  }
}
