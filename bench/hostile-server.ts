/**
 * The servers that get hostile bodies, each in its own process: the bare SDK, or this library from the checkout that
 * `SOURCE` names. This file also has the requests of the client.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
import { z } from 'zod';
import type * as Anynode from '../src/index.js';
import type { Hostile } from './hostile-bodies.js';

const WATCH_MS = 5;
/** Without keep-alive, a refusal may be lost while the client still sends the body. */
const agent = new Agent({ keepAlive: true });
const HEADERS = {
  accept: 'application/json, text/event-stream',
  'content-type': 'application/json',
};

function buildServer(): McpServer {
  const server = new McpServer({ name: 'stalls', version: '1' });
  const done = { content: [{ type: 'text' as const, text: 'done' }] };
  server.registerTool('echo', { inputSchema: z.looseObject({}) }, () => done);
  server.registerTool(
    'rows',
    { inputSchema: { rows: z.number(), ms: z.number() } },
    async (given) => {
      await sleep(given.ms);
      const rows = Array.from({ length: given.rows }, (_, at) => ({ at, a: 'x', b: [] }));
      return { content: [], structuredContent: { rows } };
    },
  );
  const schema = { type: 'object' as const, properties: {} };
  server.registerTool('elicited', {}, async ({ requestId }) => {
    const asked = server.server.elicitInput(
      { message: 'm', requestedSchema: schema },
      { relatedRequestId: requestId },
    );
    await asked.catch(() => undefined);
    return done;
  });
  server.registerTool('sampled', {}, async ({ requestId }) => {
    const asked = server.server.createMessage(
      { messages: [], maxTokens: 1 },
      { relatedRequestId: requestId },
    );
    await asked.catch(() => undefined);
    return done;
  });
  return server;
}

/** The SDK's transport as its documentation shows it. */
function bareSdk(): express.RequestHandler {
  const sessions = new Map<string, StreamableHTTPServerTransport>();
  return async (req, res) => {
    let transport = sessions.get(req.get('mcp-session-id') ?? '');
    if (transport === undefined) {
      const opened = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (id) => void sessions.set(id, opened),
        enableJsonResponse: process.env.MODE === 'json',
      });
      await buildServer().connect(opened);
      transport = opened;
    }
    await transport.handleRequest(req, res);
  };
}

async function serve(): Promise<void> {
  let longest = 0;
  let last = performance.now();
  setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last - WATCH_MS);
    last = now;
  }, WATCH_MS);
  process.on('message', () => {
    const report: Report = { longest, heap: 0 };
    void collected().then((heap) => {
      report.heap = heap;
      process.send?.(report);
      longest = 0;
      last = performance.now();
    });
  });
  const app = express()
    .use('/mcp', process.env.SERVE === 'sdk' ? bareSdk() : await middleware())
    .listen(0, '127.0.0.1', () => {
      process.send?.({ port: (app.address() as AddressInfo).port });
    });
}

/** Returns the bytes in use. The memory of a buffer is freed some time after the garbage collection that found it unused. */
async function collected(): Promise<number> {
  for (let time = 0; time < 3; time += 1) {
    globalThis.gc?.();
    await sleep(50);
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function middleware(): Promise<express.RequestHandler> {
  const entry = pathToFileURL(`${process.env.SOURCE ?? '.'}/src/index.ts`).href;
  const { anynode } = (await import(entry)) as typeof Anynode;
  return anynode({
    server: () => buildServer(),
    responseMode: process.env.MODE === 'json' ? 'json' : 'sse',
    redis: process.env.REDIS_URL,
  });
}

interface Report {
  /** The longest time in milliseconds for which the event loop stood still since the last report. */
  longest: number;
  /** The bytes in use after a garbage collection. */
  heap: number;
}

export interface Served {
  url: string;
  report: () => Promise<Report>;
  stop: () => void;
}

export async function start(
  kind: 'sdk' | 'anynode',
  { mode = 'sse', source, redis }: { mode?: 'sse' | 'json'; source?: string; redis?: string } = {},
): Promise<Served> {
  const env = { ...process.env, SERVE: kind, MODE: mode, SOURCE: source, REDIS_URL: redis };
  const execArgv = [...process.execArgv, '--expose-gc'];
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), { env, execArgv });
  child.on('error', () => undefined);
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  const report = async (): Promise<Report> => {
    // Wait for the end of the last request.
    await sleep(100);
    if (!child.connected) throw new Error('its process has ended');
    child.send('report');
    const [reported] = (await once(child, 'message')) as [Report];
    return reported;
  };
  return { url: `http://127.0.0.1:${port}/mcp`, report, stop: () => void child.kill() };
}

export async function send(
  url: string,
  body: string | Buffer,
  sessionId?: string,
): Promise<IncomingMessage> {
  const session = sessionId === undefined ? {} : { 'mcp-session-id': sessionId };
  const length = { 'content-length': Buffer.byteLength(body) };
  const outgoing = httpRequest(url, {
    ...{ method: 'POST', agent },
    headers: { ...HEADERS, ...session, ...length },
  });
  outgoing.on('error', () => undefined);
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  return incoming;
}

export async function openSession(url: string, capabilities: object): Promise<string> {
  const params = {
    protocolVersion: '2025-03-26',
    capabilities,
    clientInfo: { name: 'c', version: '1' },
  };
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params });
  const opened = await send(url, body);
  await text(opened);
  const id = String(opened.headers['mcp-session-id']);
  await text(await send(url, '{"jsonrpc":"2.0","method":"notifications/initialized"}', id));
  return id;
}

/** Sends one hostile body and returns the status. */
export async function attack(url: string, { as, body }: Hostile): Promise<number> {
  if (as === 'handshake') {
    const answer = await send(url, body());
    await text(answer);
    return answer.statusCode ?? 0;
  }
  const sessionId = await openSession(url, { elicitation: {}, sampling: { tools: {} } });
  if (as === 'call') {
    const answer = await send(url, body(), sessionId);
    await text(answer);
    return answer.statusCode ?? 0;
  }
  const call = { jsonrpc: '2.0', id: 2, method: 'tools/call', params: { name: as, arguments: {} } };
  const stream = await send(url, JSON.stringify(call), sessionId);
  let seen = '';
  for await (const chunk of stream) {
    seen += String(chunk);
    const [, id] = /"method":"(?:elicitation|sampling)\/.*"id":("[^"]+"|\d+)/.exec(seen) ?? [];
    if (id === undefined) continue;
    const answer = await send(url, String(body()).replace('ID', id), sessionId);
    await text(answer);
    stream.destroy();
    return answer.statusCode ?? 0;
  }
  throw new Error(`the server asked nothing: ${seen}`);
}

if (process.env.SERVE !== undefined) await serve();
