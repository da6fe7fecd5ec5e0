import { Cluster, Redis } from 'ioredis';
import { afterAll, beforeAll } from 'vitest';
import type { RedisCluster, RedisServer } from '../rig/redis.js';
import { startRedis, startRedisCluster } from '../rig/redis.js';

/** A Redis for the tests of one file. They may pause, fill, flush or stop it, or count its commands. */
export interface FileRedis {
  readonly server: RedisServer;
  /** A connection of the test itself, besides those of the nodes. */
  readonly admin: Redis;
}

/** Starts a Redis before the tests of a file, and stops it after them. Call it at the top of the file. */
export function useFileRedis(): FileRedis {
  let server: RedisServer;
  let admin: Redis;
  beforeAll(async () => {
    server = await startRedis();
    admin = new Redis(server.url);
  });
  afterAll(async () => {
    admin.disconnect();
    await server.stop();
  });
  return {
    get server() {
      return server;
    },
    get admin() {
      return admin;
    },
  };
}

/** A Redis Cluster with three masters for the tests of one file. */
export interface FileRedisCluster {
  readonly servers: RedisCluster;
  /** A client to give to nodes, which copy its settings and do not use it. */
  readonly client: Cluster;
}

/** Starts a Redis Cluster before the tests of a file, and stops it after them. Call it at the top of the file. */
export function useFileRedisCluster(): FileRedisCluster {
  let servers: RedisCluster;
  let client: Cluster;
  beforeAll(async () => {
    servers = await startRedisCluster({ masters: 3 });
    client = new Cluster(servers.urls, { lazyConnect: true });
  });
  afterAll(async () => {
    client.disconnect();
    await servers.stop();
  });
  return {
    get servers() {
      return servers;
    },
    get client() {
      return client;
    },
  };
}
