/**
 * A node whose audit trail goes into a file, one record a line. Each batch takes a moment before it is stored, and another one
 * after, so that the node dies in the middle of one. Environment: REDIS_URL, PREFIX, LEASE_MS, FILE, TTL_MS.
 */
import { appendFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import express from 'express';
import { serveParent } from '../../rig/child.js';
import { scriptedServer } from '../../integration/support/scripted-server.js';
import { anynode } from '../../../src/index.js';

const { REDIS_URL, PREFIX, LEASE_MS, FILE = '', TTL_MS } = process.env;

let batches = 0;
const app = express();
const mcp = anynode({
  server: () => scriptedServer(),
  redis: REDIS_URL,
  prefix: PREFIX,
  leaseMs: Number(LEASE_MS),
  ...(TTL_MS !== undefined && { sessionTtlMs: Number(TTL_MS) }),
  audit: {
    async sink(records) {
      batches += 1;
      await pause(20);
      const lines = records.map((record) => `${JSON.stringify({ by: mcp.nodeId, record })}\n`);
      appendFileSync(FILE, lines.join(''));
      await pause(20);
    },
  },
});
app.use('/mcp', mcp);
const server = app.listen(0, '127.0.0.1', () => {
  void mcp.ready().then(() => {
    serveParent({
      port: (server.address() as AddressInfo).port,
      nodeId: mcp.nodeId,
      methods: { batches: () => batches, close: () => mcp.close({ drainMs: 0 }) },
    });
  });
});
