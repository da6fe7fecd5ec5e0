/**
 * The process of the hostile client of `hostile-streams.ts`. It has one session, with as many streams as the limit allows.
 */
import { Agent, request, type IncomingMessage } from 'node:http';
import { constants, setPriority } from 'node:os';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { serveParent } from '../test/rig/child.js';

// A real hostile client has its own machine. Here it only gets the CPU time that nodes and other clients leave, so that it
// does not distort the figures.
setPriority(constants.priority.PRIORITY_LOW);

const STREAMS = 256;
const MB = 1_000_000;
const VERSION = '2025-11-25';
const agent = new Agent({ keepAlive: true, maxSockets: 2 * STREAMS });

interface Hostile {
  kind: string;
  urls: string[];
  /** Each stream is opened again this long after it was opened. */
  everyMs: number;
}

let urls: string[] = [];
let session = '';
let turn = 0;
let stopped = false;

function send(method: string, body?: object, lastEventId?: string): Promise<IncomingMessage> {
  turn += 1;
  const content = body && JSON.stringify({ jsonrpc: '2.0', ...body });
  return new Promise((resolve, reject) => {
    const sent = request(`${urls[turn % urls.length] ?? ''}/mcp`, {
      ...{ method, agent },
      headers: {
        accept: method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream',
        ...(content !== undefined && { 'content-type': 'application/json' }),
        ...(session !== '' && { 'mcp-session-id': session, 'mcp-protocol-version': VERSION }),
        ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
      },
    });
    sent.on('response', resolve).on('error', reject).end(content);
  });
}

async function call(id: number | string, name: string): Promise<string> {
  const params = { name, arguments: name === 'echo' ? { text: 'x' } : {} };
  return text(await send('POST', { id, method: 'tools/call', params }));
}

async function open(): Promise<void> {
  session = '';
  const clientInfo = { name: 'hostile', version: '1' };
  const params = { protocolVersion: VERSION, capabilities: {}, clientInfo };
  const reply = await send('POST', { id: 0, method: 'initialize', params });
  session = String(reply.headers['mcp-session-id']);
  await text(reply);
  await text(await send('POST', { method: 'notifications/initialized' }));
}

function large(): Promise<IncomingMessage> {
  return send('POST', { method: 'notifications/x', params: { text: 'y'.repeat(4 * MB) } });
}

/** Fills the log of the session as far as the limits allow. */
async function fill(): Promise<void> {
  for (let at = 0; at < 15; at += 1) await text(await large());
}

/** Opens a stream, reads it to its end or for `ms`, and closes it. */
async function read(lastEventId: string, ms: number): Promise<void> {
  const reply = await send('GET', undefined, lastEventId);
  reply.on('error', () => undefined).resume();
  await Promise.race([new Promise((resolve) => reply.once('end', resolve)), sleep(ms)]);
  if (!reply.complete) reply.destroy();
}

const lastId = (events: string): string => [...events.matchAll(/^id: ?(.*)$/gm)].at(-1)?.[1] ?? '';

let requests = 0;
/** The kinds of attack. Each function prepares the attack, and returns the function that each stream repeats. */
const KINDS: Record<string, () => Promise<(everyMs: number) => Promise<void>>> = {
  'resumes an ended stream': async () => {
    const cursor = lastId(await call(1, 'echo'));
    await fill();
    return (ms) => read(cursor, ms);
  },
  'resumes its GET stream from the start': async () => {
    const reply = await send('GET');
    const first = await new Promise<Buffer>((resolve) => reply.once('data', resolve));
    reply.on('error', () => undefined).destroy();
    const cursor = lastId(first.toString());
    await fill();
    await call(1, 'announce');
    return (ms) => read(cursor, ms);
  },
  'calls, and reads no answer': () =>
    Promise.resolve(async (ms) => {
      requests += 1;
      const params = { name: 'large', arguments: {} };
      const reply = await send('POST', { id: `r${requests}`, method: 'tools/call', params });
      await sleep(ms);
      reply.on('error', () => undefined).destroy();
    }),
  'sends messages of 4 MB': () =>
    Promise.resolve(async () => {
      (await large()).resume();
    }),
};

serveParent({
  port: 0,
  methods: {
    begin: async ({ kind, urls: given, everyMs }: Hostile) => {
      [urls, stopped] = [given, false];
      await open();
      const act = await KINDS[kind]?.();
      for (let stream = 0; stream < STREAMS; stream += 1) {
        void (async () => {
          await sleep((stream * everyMs) / STREAMS);
          while (!stopped) {
            const again = sleep(everyMs);
            await act?.(everyMs).catch(() => undefined);
            await again;
          }
        })();
      }
    },
    end: async () => {
      stopped = true;
      await sleep(500);
      agent.destroy();
      const ended = await send('DELETE').catch(() => undefined);
      ended?.resume();
    },
  },
});
