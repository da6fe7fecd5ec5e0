// What a call costs over `mcp.fetch`, beside the middleware and the listener: processor time of the node, side by side.
//
//     npx tsx bench/fetch.ts [seconds]
//
// A node in memory listens in each of these ways. 16 callers of another process use them in turn, 100 ms each.
import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { RequestListener } from 'node:http';
import { Agent, createServer, request as httpRequest } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { getRequestListener } from '@hono/node-server';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { CallToolRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import express from 'express';
import { anynode } from '../src/index.js';
import { Loopback } from '../src/intercept/http/loopback.js';
import { systemClock } from '../src/protocol/timing/clock.js';

const TURN_MS = 100;
const CALLERS = 16;
const ALONE = 'the server of Hono alone, which reads and answers';
const HEADERS = {
  accept: 'application/json, text/event-stream',
  'content-type': 'application/json',
  'mcp-protocol-version': '2025-11-25',
};

function serverOf(): Server {
  const server = new Server({ name: 'bench', version: '1' }, { capabilities: { tools: {} } });
  server.setRequestHandler(CallToolRequestSchema, ({ params }) => ({
    content: [{ type: 'text', text: JSON.stringify(params.arguments) }],
  }));
  return server;
}

/** The node. It says its processor time, in microseconds, whenever it is asked. */
async function serve(): Promise<void> {
  const mcp = anynode({ server: serverOf });
  await mcp.ready();
  const toListener = (fetch: (request: Request) => Promise<Response>): RequestListener => {
    const listener = getRequestListener(fetch, { overrideGlobalObjects: false });
    return (req, res) => void listener(req, res);
  };
  const loopback = new Loopback(mcp, {
    ...{ clock: systemClock, logger: console, timeoutMs: 10_000 },
  });
  const ways: Record<string, RequestListener> = {
    'middleware of Express': express().use(mcp),
    listener: mcp.listener,
    'fetch, behind the server of Hono': toListener((request) => mcp.fetch(request)),
    [ALONE]: toListener(async (request) => {
      await request.text();
      return new Response('{}', { headers: { 'content-type': 'application/json' } });
    }),
    'a connection within the process, behind the server of Hono': toListener(async (request) => {
      const answer = await loopback.send({
        ...{ method: request.method, headers: Object.fromEntries(request.headers) },
        body: await request.text(),
        origin: undefined,
      } as never);
      const headers = answer.headers as Record<string, string>;
      return new Response(await text(answer), { status: answer.statusCode ?? 500, headers });
    }),
  };
  const ports: Record<string, number> = {};
  for (const [name, listener] of Object.entries(ways)) {
    const server = createServer(listener).listen(0, '127.0.0.1');
    await once(server, 'listening');
    ports[name] = (server.address() as AddressInfo).port;
  }
  process.on('message', () => {
    const { user, system } = process.cpuUsage();
    process.send?.(user + system);
  });
  process.send?.(ports);
}

function post(
  agent: Agent,
  port: number,
  message: object,
  headers: object,
): Promise<{ id: string; got: string }> {
  return new Promise((resolve, reject) => {
    const body = JSON.stringify(message);
    const length = { 'content-length': Buffer.byteLength(body) };
    const outgoing = httpRequest(
      {
        port,
        host: '127.0.0.1',
        path: '/',
        method: 'POST',
        agent,
        headers: { ...headers, ...length },
      },
      (incoming) => {
        const id = incoming.headers['mcp-session-id'];
        text(incoming).then((got) => resolve({ id: String(id), got }), reject);
      },
    );
    outgoing.on('error', reject).end(body);
  });
}

async function measure(seconds: number): Promise<void> {
  const child = fork(process.argv[1] ?? '', ['serve'], { execArgv: process.execArgv });
  const [ports] = (await once(child, 'message')) as [Record<string, number>];
  const cpu = async (): Promise<number> => {
    child.send('cpu');
    const [used] = (await once(child, 'message')) as [number];
    return used;
  };
  const agent = new Agent({ keepAlive: true });
  const clientInfo = { name: 'bench', version: '1' };
  const params = { protocolVersion: '2025-11-25', capabilities: {}, clientInfo };
  const initialize = { jsonrpc: '2.0', id: 1, method: 'initialize', params };
  const port = ports.listener ?? 0;
  const { id } = await post(agent, port, initialize, HEADERS);
  const headers = { ...HEADERS, 'mcp-session-id': id };
  let last = 1;
  const turn = async (way: string): Promise<number> => {
    const before = await cpu();
    const until = performance.now() + TURN_MS;
    let calls = 0;
    const caller = async (): Promise<void> => {
      while (performance.now() < until) {
        const call = { name: 'echo', arguments: { a: 1 } };
        const message = { jsonrpc: '2.0', id: (last += 1), method: 'tools/call', params: call };
        const { got } = await post(agent, ports[way] ?? 0, message, headers);
        if (way !== ALONE && !got.includes('"result"')) throw new Error(`${way}: ${got}`);
        calls += 1;
      }
    };
    await Promise.all(Array.from({ length: CALLERS }, caller));
    return ((await cpu()) - before) / calls;
  };
  const ways = Object.keys(ports);
  const all = new Map<string, number[]>(ways.map((way) => [way, []]));
  const rounds = Math.ceil((seconds * 1000) / (TURN_MS * ways.length));
  for (let round = -5; round < rounds; round += 1) {
    for (const way of ways) {
      const cost = await turn(way);
      if (round >= 0) all.get(way)?.push(cost);
    }
  }
  child.kill();
  agent.destroy();
  const median = (list: number[]): number => list.sort((a, b) => a - b)[list.length >> 1] ?? NaN;
  const base = median(all.get(ways[0] ?? '') ?? []);
  for (const [way, costs] of all) {
    const cost = median(costs);
    console.log(
      `${way}: ${cost.toFixed(0)} µs for each call, ${(cost / base).toFixed(2)} of the middleware`,
    );
  }
}

await (process.argv[2] === 'serve' ? serve() : measure(Number(process.argv[2] ?? 10)));
