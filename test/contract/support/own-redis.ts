import type { Redis } from 'ioredis';
import { afterEach, beforeEach } from 'vitest';
import type { JoinOptions } from '../../../src/backplane/backplane.js';
import { redisBackplane } from '../../../src/backplane/redis/redis-backplane.js';
import type { FileRedis } from '../../support/file-redis.js';
import { useFileRedis } from '../../support/file-redis.js';
import { uniquePrefix } from '../../support/redis-fixture.js';
import { TestNode } from '../suite/rig.js';

/** A connection in Redis's list of clients. */
export interface ClientInfo {
  id: string;
  subscriptions: number;
}

/** A Redis for the tests of one file, and nodes on it. */
export interface OwnRedis extends FileRedis {
  /** The prefix of the keys, a new one for each test. */
  readonly prefix: string;
  /** Starts a node that may not have reached Redis yet. It leaves when the test is over. */
  start(redis?: string | Redis, overrides?: Partial<JoinOptions>): TestNode;
  /** Starts a node and waits until it is ready. */
  join(redis?: string | Redis, overrides?: Partial<JoinOptions>): Promise<TestNode>;
  /** Lists all connections except that of `admin`. */
  clients(): Promise<ClientInfo[]>;
  /** Lets all nodes leave now, for tests that stop a proxy before their end. */
  leaveAll(): Promise<void>;
}

/** Starts the Redis. Call it at the top of a file. */
export function ownRedis(): OwnRedis {
  const own = useFileRedis();
  let prefix = '';
  let nodes: TestNode[] = [];

  beforeEach(() => {
    prefix = uniquePrefix();
  });
  async function leaveAll(): Promise<void> {
    await Promise.all(nodes.map(({ backplane }) => backplane.leave()));
    nodes = [];
  }
  afterEach(leaveAll);

  function start(
    redis: string | Redis = own.server.url,
    overrides?: Partial<JoinOptions>,
  ): TestNode {
    const node = new TestNode(redisBackplane({ redis, prefix }), overrides);
    nodes.push(node);
    return node;
  }

  return {
    get server() {
      return own.server;
    },
    get admin() {
      return own.admin;
    },
    get prefix() {
      return prefix;
    },
    ...{ start, leaveAll },
    async clients() {
      const ownId = String(await own.admin.client('ID'));
      const list = (await own.admin.client('LIST')) as string;
      return list
        .trim()
        .split('\n')
        .map((line) => new Map(line.split(' ').map((pair) => pair.split('=') as [string, string])))
        .map((fields) => ({ id: fields.get('id') ?? '', subscriptions: Number(fields.get('sub')) }))
        .filter(({ id }) => id !== ownId);
    },
    async join(redis, overrides) {
      const node = start(redis, overrides);
      await node.backplane.ready();
      return node;
    },
  };
}
