/**
 * What sessions cost that nobody uses, and what a client costs that does not read.
 *
 * `tsx bench/idle-sessions.ts [sessions]`: 3,000 unless it is said; takes about a minute.
 */
import { Agent, request } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { startNode } from '../demo/rig/processes.js';
import type { NodeProcess } from '../demo/rig/processes.js';
import { startRedis } from '../demo/rig/redis.js';

interface Memory {
  rss: number;
  heapUsed: number;
  external: number;
}

const SESSIONS = Number(process.argv[2] ?? 3000);
const KB = 1024;
const MESSAGE_BYTES = 50_000;
const MESSAGES = 1_200;

const server = await startRedis();
const redis = new Redis(server.url);
const agent = new Agent({ keepAlive: true, maxSockets: 16 });
const node = await startNode({
  script: new URL('idle-node.ts', import.meta.url),
  env: { REDIS_URL: server.url, NODE_OPTIONS: '--expose-gc' },
});
try {
  await sessionsThatAreIdle(node);
  await streamsThatAreIdle(node);
  await readerThatDoesNotRead(node);
} finally {
  agent.destroy();
  redis.disconnect();
  await node.stop();
  await server.stop();
}

async function sessionsThatAreIdle(on: NodeProcess): Promise<void> {
  await openMany(on, 50); // warms up
  await untilNoReplicas(on);
  const [memory, inRedis] = [await memoryOf(on), await usedByRedis()];
  const began = performance.now();
  const ids = await openMany(on, SESSIONS);
  const rate = SESSIONS / ((performance.now() - began) / 1000);
  console.log(`${SESSIONS} sessions, opened at ${rate.toFixed(0)} per second, nobody uses them`);
  report('  node, with its server object', memory, await memoryOf(on), SESSIONS);
  await untilNoReplicas(on);
  report('  node, without', memory, await memoryOf(on), SESSIONS);
  const each = (((await usedByRedis()) - inRedis) / SESSIONS / KB).toFixed(2);
  console.log(`  Redis: ${each} KiB each, all told`);
  const [first = ''] = ids;
  for (const key of await redis.keys(`bench:{${first}}*`)) {
    const bytes = Number(await redis.memory('USAGE', key, 'SAMPLES', 0));
    console.log(`    ${key.replace(first, 'S')}: ${bytes} bytes`);
  }
  for (const key of await redis.keys('bench:principal:*')) {
    const bytes = Number(await redis.memory('USAGE', key, 'SAMPLES', 0));
    console.log(`    index of the principal: ${(bytes / SESSIONS).toFixed(0)} bytes each`);
  }
  const before = await commands();
  await sleep(10_000);
  const seen = (await commands()) - before;
  const timers = await on.call<number>('timers');
  console.log(`  in 10 s without a request: ${seen} commands to Redis; timers: ${timers}`);
}

async function streamsThatAreIdle(on: NodeProcess): Promise<void> {
  const count = Math.min(SESSIONS, 1000);
  const ids = await openMany(on, count);
  await untilNoReplicas(on);
  const memory = await memoryOf(on);
  const streams = await Promise.all(ids.map((id) => listen(on, id)));
  console.log(`${count} open GETs on which nothing comes`);
  report('  node', memory, await memoryOf(on), count);
  for (const stream of streams) stream.destroy();
}

async function readerThatDoesNotRead(on: NodeProcess): Promise<void> {
  const [id = ''] = await openMany(on, 1);
  const stream = await listen(on, id);
  stream.pause();
  const before = await memoryOf(on);
  await on.call('notify', { id, count: MESSAGES, bytes: MESSAGE_BYTES });
  const after = await memoryOf(on);
  console.log(`${(MESSAGE_BYTES * MESSAGES) / 1e6} MB to a client that does not read`);
  report('  node', before, after, 1);
  stream.destroy();
}

function report(what: string, before: Memory, after: Memory, count: number): void {
  const each = (kind: keyof Memory) => ((after[kind] - before[kind]) / count / KB).toFixed(2);
  console.log(
    `${what}: heap ${each('heapUsed')} KiB, outside ${each('external')} KiB, RSS ${each('rss')} KiB each`,
  );
}

function memoryOf(on: NodeProcess): Promise<Memory> {
  return on.call<Memory>('memory');
}

async function usedByRedis(): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1]);
}

async function commands(): Promise<number> {
  return Number(/total_commands_processed:(\d+)/.exec(await redis.info('stats'))?.[1]) - 1;
}

async function untilNoReplicas(on: NodeProcess): Promise<void> {
  while ((await on.call<{ sessions: number }>('health')).sessions > 0) await sleep(250);
}

async function openMany(on: NodeProcess, count: number): Promise<string[]> {
  const ids: string[] = [];
  let left = count;
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (left > 0) {
        left -= 1;
        ids.push(await open(on));
      }
    }),
  );
  return ids;
}

async function open(on: NodeProcess): Promise<string> {
  const begun = await post(on, {
    ...{ jsonrpc: '2.0', id: 0, method: 'initialize' },
    params: {
      protocolVersion: '2025-11-25',
      capabilities: { roots: { listChanged: true }, sampling: {}, elicitation: {} },
      clientInfo: { name: 'bench', version: '1.0.0' },
    },
  });
  const id = String(begun.headers['mcp-session-id']);
  await post(on, { jsonrpc: '2.0', method: 'notifications/initialized' }, id);
  return id;
}

/** Resolves when the answer has been read. */
async function post(on: NodeProcess, message: object, id?: string): Promise<IncomingMessage> {
  const answer = await send(on, 'POST', id, JSON.stringify(message));
  answer.resume();
  await new Promise((resolve) => answer.once('end', resolve));
  if (answer.statusCode !== 200 && answer.statusCode !== 202) {
    throw new Error(`answered with ${answer.statusCode}`);
  }
  return answer;
}

async function listen(on: NodeProcess, id: string): Promise<IncomingMessage> {
  const answer = await send(on, 'GET', id);
  answer.resume();
  return answer;
}

function send(on: NodeProcess, method: string, id?: string, body?: string) {
  return new Promise<IncomingMessage>((resolve, reject) => {
    request(`${on.url}/mcp`, {
      method,
      ...(method === 'POST' ? { agent } : { agent: false }),
      headers: {
        accept: 'application/json, text/event-stream',
        'content-type': 'application/json',
        ...(id !== undefined && { 'mcp-session-id': id }),
      },
    })
      .once('response', resolve)
      .once('error', reject)
      .end(body);
  });
}
