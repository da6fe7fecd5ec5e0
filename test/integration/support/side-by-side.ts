import { expect, onTestFinished } from 'vitest';
import { InMemoryEventStore } from '../../../demo/event-store.js';
import type { RawResponse } from '../../support/mcp-http.js';
import { notification, request } from '../../support/mcp-http.js';
import { exchange } from './exchange.js';
import type { SdkOptions } from './sdk-endpoint.js';
import { sdkEndpoint } from './sdk-endpoint.js';
import type { Mount, NodeOptions } from './serve.js';
import { listen, mounted, startNode } from './serve.js';

/** Ways to run the SDK's transport, and ours so that it does the same. */
export const MODES: [string, { sdk: SdkOptions; ours: NodeOptions }][] = [
  [
    'SSE, resumable',
    { sdk: { eventStore: () => new InMemoryEventStore() }, ours: { retryMs: 1000 } },
  ],
  ['SSE, not resumable', { sdk: {}, ours: { primingEvents: false } }],
  ['JSON', { sdk: { json: true }, ours: { responseMode: 'json' } }],
];

/** One HTTP request. What is not said is as in a client's POST with a session. */
export interface Step {
  method?: string;
  /** A list is sent as lines of their own; `undefined` takes one away. */
  headers?: Record<string, string | string[] | undefined>;
  /** Texts and bytes go as they are, everything else as JSON. */
  body?: unknown;
  /** Without the session: to open one. */
  opens?: boolean;
}

export const PARAMS = {
  protocolVersion: '2025-11-25',
  capabilities: {},
  clientInfo: { name: 'raw', version: '1.0.0' },
};
export const INITIALIZE = request(1, 'initialize', PARAMS);

/** Stands for the session's id, which the two give out themselves. */
export const SESSION = '{session}';

interface Endpoint {
  url: string;
  session: string;
}

export interface SideBySide {
  sdk: Endpoint;
  ours: Endpoint;
}

/** Both on ports of their own, each with an open session; `mount` is how ours is, and the SDK's unless it is told otherwise. */
export async function sideBySide(
  [, mode]: (typeof MODES)[number],
  { tools, ...options }: NodeOptions = {},
  mount: Mount = {},
  sdkMount: Mount = mount,
): Promise<SideBySide> {
  const { maxBodyBytes } = options;
  const sdkOptions = {
    ...mode.sdk,
    ...(tools && { tools }),
    ...(maxBodyBytes && { maxRequestBodySize: maxBodyBytes }),
  };
  const sdk = await listen(mounted(sdkEndpoint(sdkOptions), sdkMount));
  const { url: ours } = await startNode({
    ...mode.ours,
    ...options,
    ...(tools && { tools }),
    mount,
  });
  return { sdk: await open(sdk), ours: await open(ours) };
}

async function open(url: string): Promise<Endpoint> {
  const endpoint = { url, session: '' };
  const answer = await send(endpoint, { opens: true, body: INITIALIZE });
  await answer.answer(1);
  endpoint.session = String(answer.headers['mcp-session-id']);
  (await send(endpoint, { body: notification('notifications/initialized') })).expect(202);
  return endpoint;
}

/** A stream that it opens is closed with the test. */
export async function send(endpoint: Endpoint, step: Step): Promise<RawResponse> {
  const { method = 'POST', body, opens = false } = step;
  const headers = {
    accept: method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream',
    'content-type': body === undefined ? undefined : 'application/json',
    'mcp-session-id': opens ? undefined : SESSION,
    'mcp-protocol-version': opens ? undefined : '2025-11-25',
    ...step.headers,
  };
  const lines = Object.entries(headers).flatMap(([name, value]) =>
    [value ?? []].flat().map((text) => [name, text.replace(SESSION, endpoint.session)] as const),
  );
  const asIs = typeof body === 'string' || Buffer.isBuffer(body) || body === undefined;
  const url = opens ? `${endpoint.url}?new` : endpoint.url;
  const answer = await exchange(method, url, lines, asIs ? body : JSON.stringify(body));
  if (answer.stream !== undefined) onTestFinished(() => answer.close());
  return answer;
}

/** What a client sees of a response, ids that are made up left out. */
export interface Seen {
  status: number;
  headers: Record<string, unknown>;
  body: unknown;
}

const HEADERS = ['content-type', 'cache-control', 'x-accel-buffering', 'allow', 'retry-after'];

/** Reads a stream to its end. */
export async function seen(response: RawResponse): Promise<Seen> {
  const { status, headers, stream, body } = response;
  const shown = Object.fromEntries(HEADERS.map((name) => [name, headers[name]]));
  if (stream !== undefined) await stream.untilEnded(5_000);
  return {
    status,
    headers: { ...shown, 'mcp-session-id': 'mcp-session-id' in headers },
    body:
      stream === undefined
        ? bodyOf(body)
        : {
            messages: stream.events.map(({ event, message }) => ({ event, message })),
            primings: stream.primings.length,
          },
  };
}

function bodyOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Sends the same to both, and expects the same of both. */
export async function same({ sdk, ours }: SideBySide, step: Step): Promise<Seen> {
  const [theirs, mine] = await Promise.all(
    [sdk, ours].map(async (endpoint) => seen(await send(endpoint, step))),
  );
  expect(mine).toEqual(theirs);
  return mine as Seen;
}
