/**
 * How long a node stands still for one hostile body: `npx tsx bench/loop-stalls.ts` prints the table of `docs/performance.md`
 * (with a word: the rows that have it),
 * with the SDK's own transport beside it. Each server is a process of its own, whose event loop a timer watches.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import express from 'express';
import { z } from 'zod';
import { anynode } from '../src/index.js';
import { HOSTILE, type Hostile } from './hostile-bodies.js';

const WATCH_MS = 5;
/** Without keep-alive a refusal may be lost behind what its client still sends. */
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

function serve(): void {
  let longest = 0;
  let last = performance.now();
  setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last - WATCH_MS);
    last = now;
  }, WATCH_MS);
  process.on('message', () => {
    process.send?.({ longest });
    longest = 0;
  });
  const responseMode = process.env.MODE === 'json' ? 'json' : 'sse';
  const mcp =
    process.env.SERVE === 'sdk'
      ? bareSdk()
      : anynode({ server: () => buildServer(), responseMode });
  const server = express()
    .use('/mcp', mcp)
    .listen(0, '127.0.0.1', () => {
      process.send?.({ port: (server.address() as AddressInfo).port });
    });
}

interface Served {
  url: string;
  /** The longest time for which the loop stood still since the last call. */
  longest: () => Promise<number>;
  stop: () => void;
}

async function start(kind: 'sdk' | 'anynode', mode: 'sse' | 'json'): Promise<Served> {
  const env = { ...process.env, SERVE: kind, MODE: mode };
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), { env });
  child.on('error', () => undefined);
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  const longest = async (): Promise<number> => {
    // The end of what came last.
    await sleep(100);
    if (!child.connected) throw new Error('its process has ended');
    child.send('report');
    const [report] = (await once(child, 'message')) as [{ longest: number }];
    return report.longest;
  };
  return { url: `http://127.0.0.1:${port}/mcp`, longest, stop: () => void child.kill() };
}

async function send(
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

async function openSession(url: string, capabilities: object): Promise<string> {
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
async function attack(url: string, { as, body }: Hostile): Promise<number> {
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

/** A batch of 100 calls in JSON mode, whose answers of half a megabyte come in another order than asked for. */
async function outOfOrder(url: string): Promise<number> {
  const sessionId = await openSession(url, {});
  const calls = Array.from({ length: 100 }, (_, id) => ({
    ...{ jsonrpc: '2.0', id, method: 'tools/call' },
    params: { name: 'rows', arguments: { rows: 20_000, ms: ((id * 37) % 100) * 5 } },
  }));
  const answer = await send(url, JSON.stringify(calls), sessionId);
  await text(answer);
  return answer.statusCode ?? 0;
}

interface Row {
  ms: number;
  status: number;
}

/** Each body gets a server of its own: some of them end the SDK's. The best of up to three, as others use the machine, too. */
async function measure(
  kind: 'sdk' | 'anynode',
  mode: 'sse' | 'json',
  run: (url: string) => Promise<number>,
): Promise<Row | undefined> {
  const server = await start(kind, mode);
  let best: Row | undefined;
  try {
    // The first of everything compiles code.
    await openSession(server.url, {});
    for (let round = 0; round < 3 && !(best !== undefined && best.ms > 1000); round += 1) {
      await server.longest();
      const status = await Promise.race([run(server.url), sleep(60_000, 0)]);
      const ms = await Promise.race([server.longest(), sleep(60_000, Infinity)]);
      if (best === undefined || ms < best.ms) best = { status, ms };
    }
    return best;
  } catch {
    return undefined;
  } finally {
    server.stop();
  }
}

const shown = (row: Row | undefined): string =>
  row === undefined ? 'its process ends | ' : `${Math.round(row.ms)} | ${row.status}`;

if (process.env.SERVE !== undefined) {
  serve();
} else {
  console.log(
    '| body | SDK, ms | status | anynode, ms | status |\n| --- | --: | --- | --: | --- |',
  );
  const all: [string, 'sse' | 'json', (url: string) => Promise<number>][] = [
    ...HOSTILE.map((each): (typeof all)[number] => [each.kind, 'sse', (url) => attack(url, each)]),
    ['100 answers of 0.5 MB to a batch, out of order, as JSON', 'json', outOfOrder],
  ];
  const wanted = all.filter(([kind]) => kind.includes(process.argv[2] ?? ''));
  for (const [kind, mode, run] of wanted) {
    const sdk = await measure('sdk', mode, run);
    const ours = await measure('anynode', mode, run);
    console.log(`| ${kind} | ${shown(sdk)} | ${shown(ours)} |`);
  }
}
