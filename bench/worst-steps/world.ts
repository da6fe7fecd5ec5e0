/** The nodes and sessions of a scenario. */
import { randomUUID } from 'node:crypto';
import type { Redis } from 'ioredis';
import type {
  JoinedBackplane,
  NewSession,
  Operation,
  OutboxLimits,
} from '../../src/backplane/backplane.js';
import type { SdkStoreAccess } from '../../src/backplane/sdk-store-access.js';
import { redisBackplane } from '../../src/backplane/redis/redis-backplane.js';
import { systemClock } from '../../src/protocol/timing/clock.js';

/** The defaults of the options and limits that matter here. */
const MOST_EVENTS = 10_000;
const MOST_BYTES = 64 * 1024 * 1024;
export const REQUESTS = 200;

export const PRINCIPAL = 'as:alice';
const SESSION_TTL_MS = 3_600_000;

export interface Scenario {
  script: string;
  situation: string;
  /** True if the step itself carries a message of 4 MB. */
  carriesLarge?: true;
  /** Prepares the situation and returns the step, which can be run several times. */
  prepare: (world: World) => Promise<() => Promise<unknown>>;
}

/** Two nodes on one Redis, and perhaps one with an audit trail. */
export class World {
  readonly a: Node;
  readonly b: Node;
  private auditing: Node | undefined;

  constructor(
    readonly redis: Redis,
    private readonly url: string,
    readonly prefix: string,
  ) {
    this.a = new Node(url, prefix, 'node-a');
    this.b = new Node(url, prefix, 'node-b');
  }

  key(id: string): string {
    return `${this.prefix}:{${id}}`;
  }

  async ready(): Promise<void> {
    await Promise.all([this.a.backplane.ready(), this.b.backplane.ready()]);
  }

  /** Adds a node with an audit trail. */
  async audited(maxSessionBytes: number): Promise<Node> {
    const audit = { whenFull: 'drop' as const, maxSessionBytes, maxTotalBytes: 1e9 };
    this.auditing = new Node(this.url, this.prefix, 'node-c', audit);
    await this.auditing.backplane.ready();
    return this.auditing;
  }

  async close(): Promise<void> {
    const nodes = [this.a, this.b, ...(this.auditing === undefined ? [] : [this.auditing])];
    await Promise.all(nodes.map(({ backplane }) => backplane.leave()));
  }
}

export class Node {
  readonly backplane: JoinedBackplane;
  private number = 0;

  constructor(
    url: string,
    prefix: string,
    readonly id: string,
    audit?: OutboxLimits,
  ) {
    this.backplane = redisBackplane({ redis: url, prefix }).join({
      ...{ nodeId: id, clock: systemClock, leaseMs: 10_000, commandTimeoutMs: 10_000 },
      ...{ sessionTtlMs: SESSION_TTL_MS, pendingTtlMs: 300_000 },
      retention: { maxEvents: MOST_EVENTS, maxAgeMs: 3_600_000, maxBytes: MOST_BYTES },
      audit,
      onMessage: () => undefined,
      onLost: () => undefined,
      onLapse: () => undefined,
      logger: { warn: (text) => console.warn(text) },
    });
  }

  get sdkStores(): SdkStoreAccess {
    const { sdkStores } = this.backplane;
    if (sdkStores === undefined) throw new Error('no stores of the SDK');
    return sdkStores;
  }

  async create(more: Partial<NewSession> = {}): Promise<string> {
    const id = randomUUID();
    await this.backplane.create({
      ...{ id, initialize: '{"capabilities":{}}', protocolVersion: '2025-11-25' },
      ...{ principal: PRINCIPAL, createdAt: Date.now(), inbound: '{}', stream: 'i' },
      hears: ['tools', 'prompts', 'resources'],
      outbound: [{ stream: 'i', message: '{}', asks: false }],
      ...more,
    });
    return id;
  }

  async commit(sessionId: string, ...operations: Operation[]) {
    this.number += 1;
    return this.backplane.commit({ sessionId, number: this.number, operations });
  }

  /** Opens and ends a request on its own stream. Returns the position of the answer. */
  async call(sessionId: string, stream: string) {
    await this.commit(sessionId, open(stream, [`"${stream}"`]));
    const ended = await this.commit(sessionId, append(stream, 'answer', { ends: `"${stream}"` }));
    const [result] = ended.status === 'ok' ? ended.results : [];
    if (result?.status !== 'appended') throw new Error('not appended');
    return result.position;
  }

  /** Stores `count` messages of the client that open no stream. */
  async fill(sessionId: string, count: number, bytes: number): Promise<void> {
    const message = 'y'.repeat(bytes);
    for (let left = count; left > 0; left -= 100) {
      const operations = Array.from({ length: Math.min(left, 100) }, () => receive(message));
      await this.commit(sessionId, ...operations);
    }
  }
}

export function open(stream: string, requests: string[], most = REQUESTS): Operation {
  return {
    ...{ type: 'open', principal: PRINCIPAL, stream, token: `t${stream}`, revision: '1' },
    ...{ requests, messages: requests.map(() => 'call'), most },
  };
}

function receive(message: string): Operation {
  const route = { to: 'nobody' } as const;
  return { type: 'receive', principal: PRINCIPAL, message, route, revision: '1' };
}

export function append(stream: string, message: string, more: object = {}): Operation {
  return { type: 'append', stream, message, ...more };
}
