/** Sends a node broken requests over HTTP, which are drawn from seeds. `npm run fuzz -- --minutes 10` runs it for longer. */
import { once } from 'node:events';
import { Agent, createServer, request, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { Server as McpServer } from '@modelcontextprotocol/sdk/server/index.js';
import type { Anynode } from '../../src/index.js';
import { anynode } from '../../src/index.js';
import { mutated, oneOf, randomOf, type Random } from './upstream.js';

const MOST_MS = 1_000;
/** The limits of the node are small, so that requests reach them. */
const BODY_BYTES = 20_000;
const LIMITS = {
  ...{ handshakeBytes: 2_000, messageValues: 200, jsonValues: 2_000, bodyBytesInFlight: 60_000 },
  ...{ anonymousPending: 100, anonymousSessions: 200, bodyMs: 300 },
};
/** The allowed statuses. Any other status, such as 500, is an error. */
const STATUSES = new Set([200, 202, 204, 400, 404, 405, 406, 408, 413, 415, 429, 503]);

const INITIALIZE =
  '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"f","version":"1"}}}';
const TYPES = [
  'application/json',
  'application/json; charset=utf-8',
  'application/json,',
  'text/plain',
  '',
  'a/b;c="',
];
const ACCEPTS = ['application/json, text/event-stream', '*/*', '', 'text/event-stream;q=0'];
const VERSIONS = [
  '2025-11-25',
  '2025-03-26',
  '2026-07-28',
  '',
  '2025-11-25, 2025-11-25',
  'x'.repeat(500),
];
const CODINGS: Record<string, (body: Buffer) => Buffer> = {
  ...{ gzip: gzipSync, deflate: deflateSync, br: brotliCompressSync },
  ...{ identity: (body: Buffer) => body, 'gzip, br': gzipSync, zstd: (body: Buffer) => body },
};

export class ClientFuzz {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 8 });
  private sessionId = '';

  private constructor(
    private readonly mcp: Anynode,
    private readonly server: Server,
    private readonly errors: string[],
  ) {}

  static async start(): Promise<ClientFuzz> {
    const errors: string[] = [];
    const mcp = anynode({
      server: () => new McpServer({ name: 'fuzz', version: '1' }, { capabilities: {} }),
      ...{
        maxBodyBytes: BODY_BYTES,
        limits: LIMITS,
        maxReplicas: 20,
        retention: { maxEvents: 50 },
      },
      logger: { info: () => undefined, warn: () => undefined, error: (text) => errors.push(text) },
    });
    const server = createServer(mcp.listener).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const fuzz = new ClientFuzz(mcp, server, errors);
    await fuzz.open();
    return fuzz;
  }

  async stop(): Promise<void> {
    this.agent.destroy();
    await this.mcp.close({ drainMs: 0, server: this.server });
  }

  /** Sends one request. Rejects if the response is not allowed, or takes too long. */
  async once(seed: number): Promise<void> {
    const random = randomOf(seed);
    const began = performance.now();
    const isGet = random(10) === 0;
    const plain = isGet ? undefined : bodyOf(random);
    const coding = random(6) === 0 ? oneOf(random, Object.keys(CODINGS)) : undefined;
    const body = plain && coding !== undefined ? CODINGS[coding]?.(plain) : plain;
    const headers = this.headersOf(random, coding);
    const cut = random(12) === 0;
    const status = await this.send(isGet ? 'GET' : 'POST', headers, body, { random, cut });
    if (status !== undefined && !STATUSES.has(status)) throw new Error(`status ${status}`);
    const took = performance.now() - began;
    if (took > MOST_MS) throw new Error(`it took ${took} ms`);
  }

  /** Checks that the requests have done no harm: the node still serves, and keeps nothing of them. */
  async check(): Promise<void> {
    if (this.errors.length > 0) throw new Error(this.errors.join('\n'));
    const headers = { ...this.usual(), 'content-type': 'application/json' };
    const ping = Buffer.from('{"jsonrpc":"2.0","id":"p","method":"ping"}');
    const status = await this.send('POST', headers, ping);
    if (status !== 200) throw new Error(`after all that, ping gets ${status}`);
    const { inFlight, status: health } = this.mcp.health();
    if (health !== 'ready' || inFlight > 0) throw new Error(`${health}, ${inFlight} in flight`);
  }

  private async open(): Promise<void> {
    const headers = { accept: ACCEPTS[0] ?? '', 'content-type': 'application/json' };
    await this.send('POST', headers, Buffer.from(INITIALIZE), {
      onAnswer: (answer) => (this.sessionId = String(answer.headers['mcp-session-id'])),
    });
    const initialized = '{"jsonrpc":"2.0","method":"notifications/initialized"}';
    await this.send('POST', { ...this.usual(), ...headers }, Buffer.from(initialized));
  }

  private usual(): Record<string, string> {
    return { accept: ACCEPTS[0] ?? '', 'mcp-session-id': this.sessionId };
  }

  private headersOf(random: Random, coding: string | undefined): Record<string, string> {
    const ids = [
      this.sessionId,
      this.sessionId,
      'unknown',
      'a{b}',
      'x'.repeat(300),
      '',
      '"',
      this.sessionId.slice(1),
    ];
    const headers: Record<string, string> = {
      accept: random(5) === 0 ? oneOf(random, ACCEPTS) : (ACCEPTS[0] ?? ''),
      'content-type': random(5) === 0 ? oneOf(random, TYPES) : 'application/json',
      ...(random(4) > 0 && { 'mcp-session-id': oneOf(random, ids) }),
      ...(random(3) === 0 && { 'mcp-protocol-version': oneOf(random, VERSIONS) }),
      ...(random(9) === 0 && { 'last-event-id': printable(mutated(random)).slice(0, 2_000) }),
      ...(coding !== undefined && { 'content-encoding': coding }),
    };
    return headers;
  }

  /** Sends a request. Resolves with `undefined` if either side cut the connection. */
  private send(
    method: string,
    headers: Record<string, string>,
    body: Buffer | undefined,
    more: { random?: Random; cut?: boolean; onAnswer?: (answer: IncomingMessage) => void } = {},
  ): Promise<number | undefined> {
    const { random, cut = false, onAnswer } = more;
    const { port } = this.server.address() as AddressInfo;
    return new Promise((resolve) => {
      const declared = random === undefined || random(2) === 0;
      const length = body && declared ? { 'content-length': `${body.length}` } : {};
      const outgoing = request({
        ...{ host: '127.0.0.1', port, agent: this.agent, method },
        headers: { ...headers, ...length },
      });
      outgoing.on('error', () => resolve(undefined));
      outgoing.once('response', (answer) => {
        onAnswer?.(answer);
        answer.on('error', () => undefined);
        answer.once('close', () => resolve(answer.statusCode));
        answer.resume();
        // A GET stream does not end by itself.
        if (method === 'GET' && answer.statusCode === 200) outgoing.destroy();
      });
      if (body === undefined || !cut) {
        outgoing.end(body);
        return;
      }
      outgoing.write(body.subarray(0, body.length / 2), () => outgoing.destroy());
    });
  }
}

function bodyOf(random: Random): Buffer {
  const kinds: (() => string)[] = [
    () => mutated(random),
    () => mutated(random),
    () => INITIALIZE.replace('{}', () => mutated(random)),
    () => INITIALIZE.replace('"f"', `"${'f'.repeat(random(4_000))}"`),
    () => `[${Array.from({ length: random(120) }, () => mutated(random)).join(',')}]`,
    () => '[0,'.repeat(random(8_000)),
    () => `{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"${'x'.repeat(random(30_000))}"}}`,
  ];
  const body = Buffer.from(oneOf(random, kinds)());
  // After this, the body may not be UTF-8 any more.
  if (random(8) === 0 && body.length > 0) body[random(body.length)] = random(256);
  return body;
}

function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '.');
}
