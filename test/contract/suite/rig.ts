import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect } from 'vitest';
import type {
  AppendOperation,
  AttachReply,
  AttachRequest,
  Backplane,
  CommitReply,
  DetachOperation,
  ExchangeOperation,
  JoinOptions,
  LogEntry,
  JoinedBackplane,
  NewSession,
  NodeMessage,
  OpenOperation,
  Operation,
  OperationResult,
  Page,
  Position,
  ReceiveOperation,
  Route,
} from '../../../src/backplane/index.js';
import { LOG_START, STANDALONE } from '../../../src/backplane/index.js';
import { FIRST_REVISION } from '../../../src/backplane/revision.js';
import { systemClock } from '../../../src/protocol/timing/clock.js';
import type { OpenStore, Store } from './store.js';

export type { OpenStore, Store } from './store.js';

export const ALICE = 'alice';
export const MALLORY = 'mallory';
export const BEGINNING: Position = { n: 0, logId: LOG_START };

/** Three nodes on a store of their own, new for each test. */
export interface Rig {
  readonly store: Store;
  readonly a: TestNode;
  readonly b: TestNode;
  readonly c: TestNode;
  /** How many bytes a text takes in the store. */
  sizeOf(text: string): number;
  /** Puts one more node on the store. */
  join(overrides?: Partial<JoinOptions>): Promise<TestNode>;
}

export function useRig(open: OpenStore): Rig {
  let store: Store | undefined;
  let nodes: TestNode[] = [];
  const join = async (overrides: Partial<JoinOptions> = {}): Promise<TestNode> => {
    const node = new TestNode(defined(store).backplane(), overrides);
    nodes.push(node);
    await node.backplane.ready();
    return node;
  };
  beforeEach(async () => {
    store = await open();
    nodes = [];
    await Promise.all([join(), join(), join()]);
  });
  afterEach(async () => {
    await Promise.all(nodes.map((node) => node.backplane.leave()));
    await store?.close();
  });
  return {
    get store() {
      return defined(store);
    },
    get a() {
      return defined(nodes[0]);
    },
    get b() {
      return defined(nodes[1]);
    },
    get c() {
      return defined(nodes[2]);
    },
    sizeOf: (text) => store?.sizeOf?.(text) ?? Buffer.byteLength(text),
    join,
  };
}

/** A backplane with its inbox, which numbers its commits as a node does. */
export class TestNode {
  readonly id: string;
  readonly backplane: JoinedBackplane;
  readonly warnings: string[] = [];
  /** How often the backplane has said that messages may be lost. */
  losses = 0;
  /** How often the lease had run out when it was renewed. */
  lapses = 0;
  /** The number of the last commit. */
  number = 0;
  /** Messages that have arrived and were not taken by `next` or `drain`. */
  readonly inbox: NodeMessage[] = [];

  constructor(backplane: Backplane, overrides: Partial<JoinOptions> = {}) {
    this.id = overrides.nodeId ?? `n${randomBytes(6).toString('hex')}`;
    this.backplane = backplane.join({
      nodeId: this.id,
      clock: systemClock,
      leaseMs: 3_000,
      commandTimeoutMs: 2_000,
      sessionTtlMs: 60_000,
      pendingTtlMs: 30_000,
      retention: { maxEvents: 1_000, maxAgeMs: 60_000 },
      onMessage: (message) => this.inbox.push(message),
      onLost: () => (this.losses += 1),
      onLapse: () => (this.lapses += 1),
      logger: { warn: (message) => this.warnings.push(message) },
      ...overrides,
    });
  }

  /** Creates a session that belongs to Alice. */
  async create(overrides: Partial<NewSession> = {}): Promise<string> {
    const session = newSession(overrides);
    expect(await this.backplane.create(session)).not.toBe(false);
    return session.id;
  }

  commit(sessionId: string, ...operations: Operation[]): Promise<CommitReply> {
    this.number += 1;
    return this.backplane.commit({ sessionId, number: this.number, operations });
  }

  /** Sends the last commit again, as after a lost reply. */
  repeat(sessionId: string, ...operations: Operation[]): Promise<CommitReply> {
    return this.backplane.commit({ sessionId, number: this.number, operations });
  }

  /** Commits to a session that exists, and returns the results. */
  async run(sessionId: string, ...operations: Operation[]): Promise<OperationResult[]> {
    return resultsOf(await this.commit(sessionId, ...operations));
  }

  /** Appends one message, and throws if it was not stored. */
  async say(sessionId: string, stream: string, message: string, more?: Partial<AppendOperation>) {
    const [result] = await this.run(sessionId, append(stream, message, more));
    return appended(result);
  }

  attach(sessionId: string, stream: string, more: Partial<AttachRequest> = {}) {
    return this.backplane.attach({
      sessionId,
      principal: ALICE,
      stream,
      token: 't1',
      cursor: undefined,
      unlessHeld: false,
      ...more,
    });
  }

  /** Attaches to a stream, and throws if that is refused. */
  async hold(sessionId: string, stream: string, more?: Partial<AttachRequest>) {
    return attached(await this.attach(sessionId, stream, more));
  }

  async read(sessionId: string, stream: string, after = BEGINNING, maxBytes = 1_000_000) {
    return page(await this.backplane.read({ sessionId, stream, after, maxBytes }));
  }

  /** Reads the texts of all messages of a stream that the log keeps. */
  async texts(sessionId: string, stream: string): Promise<(string | undefined)[]> {
    const texts: (string | undefined)[] = [];
    for (let after = BEGINNING; ;) {
      const { events, scanned, more } = await this.read(sessionId, stream, after);
      texts.push(...events.map(({ message }) => message));
      if (!more) return texts;
      after = { n: events.at(-1)?.position.n ?? after.n, logId: scanned };
    }
  }

  /** Reads all entries of a log, page by page. */
  async history(sessionId: string, count = 1_000): Promise<LogEntry[]> {
    const entries: LogEntry[] = [];
    for (;;) {
      const after = entries.at(-1)?.logId ?? LOG_START;
      const more = await this.backplane.history(sessionId, after, count);
      if (more.length === 0) return entries;
      entries.push(...more);
    }
  }

  /** Reads the messages of both directions, without the notes. */
  async said(sessionId: string): Promise<LogEntry[]> {
    const entries = await this.history(sessionId);
    return entries.filter(({ note }) => note === undefined);
  }

  /** Waits for a message of this type, and takes it out of the inbox. */
  async next<T extends NodeMessage['type']>(type: T): Promise<Extract<NodeMessage, { type: T }>> {
    let index = -1;
    await eventually(() => {
      index = this.inbox.findIndex((message) => message.type === type);
      expect(
        index,
        `a message of type ${type} in ${JSON.stringify(this.inbox)}`,
      ).toBeGreaterThanOrEqual(0);
    });
    const [message] = this.inbox.splice(index, 1);
    return message as Extract<NodeMessage, { type: T }>;
  }

  /**
   * Takes all messages out of the inbox, with those that are on the way. It waits for a mark that `sender` sends the
   * same way after them: through the session, so that in a Redis Cluster the same server publishes it.
   */
  async drain(sender: TestNode, sessionId: string): Promise<NodeMessage[]> {
    const mark = `mark ${randomBytes(4).toString('hex')}`;
    if (sender === this) throw new Error('A node is not told of its own steps');
    await sender.run(sessionId, receive({ to: 'node', nodeId: this.id }, mark));
    const isMark = (message: NodeMessage) => message.type === 'deliver' && message.message === mark;
    await eventually(() => {
      expect(this.inbox.some(isMark), 'the mark in the inbox').toBe(true);
    });
    return this.inbox.splice(0).filter((message) => !isMark(message));
  }
}

export function newSession(overrides: Partial<NewSession> = {}): NewSession {
  return {
    id: `s-${randomBytes(8).toString('hex')}`,
    initialize: '{"capabilities":{}}',
    protocolVersion: '2025-06-18',
    principal: ALICE,
    hears: ['tools', 'prompts', 'resources'],
    inbound: '{"method":"initialize"}',
    stream: 'init',
    outbound: [{ stream: 'init', message: '{"result":"initialized"}', asks: false }],
    ...overrides,
  };
}

export function open(
  stream: string,
  requests: string[],
  more: Partial<OpenOperation> = {},
): OpenOperation {
  return {
    type: 'open',
    principal: ALICE,
    stream,
    token: 't1',
    requests,
    messages: [`{"call":"${stream}"}`],
    revision: undefined,
    ...more,
  };
}

/** A request that has been answered. `revision` is that of a new session. */
export function exchange(
  stream: string,
  request: string,
  more: Partial<ExchangeOperation> = {},
): ExchangeOperation {
  return {
    ...{ type: 'exchange', principal: ALICE, stream, request, revision: FIRST_REVISION },
    ...{ message: `{"call":"${stream}"}`, answer: `{"answer":"${stream}"}` },
    ...more,
  };
}

export function receive(
  route: Route,
  message = '{"method":"x"}',
  more: Partial<ReceiveOperation> = {},
): ReceiveOperation {
  return { type: 'receive', principal: ALICE, message, route, revision: '1', ...more };
}

export function append(
  stream: string,
  message: string | undefined,
  more: Partial<AppendOperation> = {},
): AppendOperation {
  return { type: 'append', stream, message, ...more };
}

export function detach(stream: string, token: string, position = BEGINNING): DetachOperation {
  return { type: 'detach', stream, token, position };
}

/** Matches any revision after this number of changes. The creation of the session counts as one. */
export function changed(count: number): string {
  return expect.stringMatching(new RegExp(`^${String(count)}\\.`)) as string;
}

/** Appends a message that adds a subscription to the record. */
export function subscribe(uri: string): AppendOperation {
  return append(STANDALONE, '{}', { effect: { type: 'subscribe', uri } });
}

export function resultsOf(reply: CommitReply): OperationResult[] {
  return okay(reply).results;
}

export function okay(reply: CommitReply): Extract<CommitReply, { status: 'ok' }> {
  if (reply.status !== 'ok') throw new Error('The session is gone');
  return reply;
}

export function appended(result: OperationResult | undefined) {
  if (result?.status !== 'appended') throw new Error(`Not appended: ${JSON.stringify(result)}`);
  return result;
}

function attached(reply: AttachReply): Extract<AttachReply, { status: 'attached' }> {
  if (reply.status !== 'attached') throw new Error(`Not attached: ${JSON.stringify(reply)}`);
  return reply;
}

function page(reply: Page): Extract<Page, { status: 'ok' }> {
  if (reply.status !== 'ok') throw new Error(`Nothing to read: ${reply.status}`);
  return reply;
}

/** Repeats an assertion until it holds. For changes on other nodes that no event announces. */
export async function eventually<T>(
  assertion: () => T | Promise<T>,
  withinMs = 15_000,
): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    try {
      return await assertion();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(5);
    }
  }
}

function defined<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('Only inside of a test');
  return value;
}
