/**
 * A node of a chaos run. Its environment variables are STORE (JSON, usually through the proxies), RECORDS_URL (without
 * proxies), PREFIX, LEASE_MS, RETRY_MS, LEAVE_MS, DRAIN_MS and AFFINITY. AUDIT is where the audit trail goes. SABOTAGE removes a
 * guard, and BARE runs the plain SDK instead.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import express from 'express';
import { Redis } from 'ioredis';
import { bare } from '../../demo/bare.js';
import { serveParent } from '../rig/child.js';
import type { Anynode } from '../../src/index.js';
import { sabotage, type Sabotage } from './sabotage.js';
import { acceptedKey, executedKey, replicaKey } from './records.js';
import { buildServer, type Records } from './server.js';
import { redisOf, type Store } from './store.js';

const { env } = process;
const prefix = env['PREFIX'] ?? 'chaos';
const book = new Redis(env['RECORDS_URL'] ?? '');
/** When the node last warned that a notification was not delivered. */
let warnedAt = -Infinity;
const logger = {
  info: (text: string) => console.info(text),
  error: (text: string) => console.error(text),
  warn: (text: string) => {
    if (text.includes('was not delivered')) warnedAt = performance.now();
    console.warn(text);
  },
};
const records: Records = {
  // A session warns once a second at most.
  isDelivered: (saidAt) => warnedAt < saidAt - 1000,
  executed: (key, replica) =>
    Promise.all([
      book.hincrby(executedKey(prefix), key, 1),
      book.hset(replicaKey(prefix), key, replica),
    ]),
  accepted: (key, n) => book.sadd(acceptedKey(prefix), `${key} ${n}`),
};

// The wall clock of this process only, as the library reads it.
const realNow = Date.now;
let aheadMs = 0;
Date.now = () => realNow() + aheadMs;

if (env['SABOTAGE'] !== undefined) sabotage(env['SABOTAGE'] as Sabotage);
// Import the library only now, because the code above may have changed what it reads when it is loaded.
const { anynode } = await import('../../src/index.js');

const retryMs = Number(env['RETRY_MS']);
const app = express();
let leaving = false;
let tellNoticed: () => void = () => undefined;
const noticed = new Promise<void>((resolve) => (tellNoticed = resolve));
let mcp: Anynode | undefined;

if (env['BARE'] === undefined) {
  mcp = anynode({
    server: () => buildServer(records),
    redis: redisOf(JSON.parse(env['STORE'] ?? '') as Store),
    prefix,
    affinity: env['AFFINITY'] as 'any' | 'owner' | undefined,
    leaseMs: Number(env['LEASE_MS']),
    retryMs,
    keepAliveMs: 1000,
    logger,
    ...(env['AUDIT'] !== undefined && { audit: { sink: env['AUDIT'] } }),
  });
  app.use('/mcp', mcp);
} else {
  const name = `bare-${process.pid}`;
  app.use('/mcp', bare({ server: () => buildServer(records), name, eventStore: true, retryMs }));
}
app.get('/ready', (_req, res) => {
  if (leaving) res.once('finish', tellNoticed);
  const ready = !leaving && (mcp === undefined || mcp.health().status === 'ready');
  res.sendStatus(ready ? 200 : 503);
});

await mcp?.ready();
const http = app.listen(0, '127.0.0.1');
await once(http, 'listening');

process.once('SIGTERM', () => {
  void (async () => {
    leaving = true;
    await noticed;
    // Requests that the balancer has sent before it knew are still on their way.
    await pause(Number(env['LEAVE_MS']));
    await mcp?.close({ drainMs: Number(env['DRAIN_MS']) });
    http.close(() => process.exit(0));
  })();
});

serveParent({
  port: (http.address() as AddressInfo).port,
  ...(mcp !== undefined && { nodeId: mcp.nodeId }),
  methods: {
    setClock: (clock: { aheadMs: number }) => {
      aheadMs = clock.aheadMs;
    },
    notify: async ({ sessionId, data }: { sessionId: string; data: unknown }) => {
      const params = { level: 'info', data };
      await mcp?.session(sessionId).notify({ method: 'notifications/message', params });
    },
  },
});
