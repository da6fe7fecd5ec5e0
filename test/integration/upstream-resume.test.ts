/** A server at a URL whose streams break. The node resumes them with the id of the last event. */
import type { ServerResponse } from 'node:http';
import { expect, it } from 'vitest';
import { request } from '../support/mcp-http.js';
import { newGate } from './support/gate.js';
import type { Exchange } from './support/puppet.js';
import { event, logLine, puppet, resultOf, stream, type PuppetOptions } from './support/puppet.js';
import { listen, openSession, startNode } from './support/serve.js';

const CALL = { name: 'any', arguments: {} };
const PRIMING = 'id: prime\nretry: 40\ndata:\n\n';

const isCall = ({ message }: Exchange): boolean => message?.method === 'tools/call';
const cursorsOf = (seen: Exchange[]): unknown[] =>
  seen
    .filter(({ method }) => method === 'GET')
    .flatMap(({ headers }) => headers['last-event-id'] ?? []);

/** Serves a call's stream, and answers a GET with a cursor. A GET without one gets 405. */
async function resumable(onCall: PuppetOptions['onCall'], onResume: PuppetOptions['onGet']) {
  const made = puppet({
    ...(onCall && { onCall }),
    onGet: (res, exchange) => {
      if (exchange.headers['last-event-id'] === undefined) res.writeHead(405).end();
      else onResume?.(res, exchange);
    },
  });
  const options = { server: undefined, upstream: await listen(made.app), upstreamTimeoutMs: 1500 };
  const node = await startNode(options);
  const { client } = await openSession(node.url);
  return { ...node, ...made, client };
}

const cut = (res: ServerResponse, ...frames: string[]): void => {
  stream(res, ...frames.slice(0, -1)).write(frames.at(-1) ?? '', () => res.destroy());
};

it.each(['cut', 'ended'])(
  'a stream that is %s during a call is resumed after its retry time, and shown once',
  async (how) => {
    let left: number | undefined;
    let back: number | undefined;
    const leave = (res: ServerResponse, ...frames: string[]): void => {
      left ??= Date.now();
      if (how === 'cut') cut(res, ...frames);
      else stream(res, ...frames).end();
    };
    const node = await resumable(
      (res) =>
        leave(res, 'retry: 1300\n\n', event(logLine('one'), 'e1'), event(logLine('two'), 'e2')),
      (res, { headers }) => {
        if (headers['last-event-id'] === 'e2') {
          back ??= Date.now();
          leave(res, event(logLine('three'), 'e3'));
        } else {
          stream(res, event(resultOf('c'), 'e4')).end();
        }
      },
    );
    const { client, url, seen } = node;
    const { sse } = await client.post(url, request('c', 'tools/call', CALL));
    expect(await sse.untilEnded()).toBe('end');
    const read = [...sse.messages];
    if (how === 'ended') {
      // The client was told to come back as well, with its own cursor.
      const resumed = await client.listen(url, { lastEventId: sse.lastEventId ?? '' });
      await resumed.untilEnded();
      read.push(...resumed.messages);
    }
    expect(read).toEqual([...['one', 'two', 'three'].map(logLine), resultOf('c')]);
    expect(cursorsOf(seen)).toEqual(['e2', 'e3']);
    // Without a retry time of the server, the node waits a second.
    expect((back ?? 0) - (left ?? 0)).toBeGreaterThan(1150);
    expect(seen.filter(isCall)).toHaveLength(1);
  },
);

it('a stream that breaks after its priming event, or after an id alone, is resumed from there', async () => {
  for (const [frame, cursor] of [
    [PRIMING, 'prime'],
    ['id: alone\nretry: 40\n\n', 'alone'],
  ] as const) {
    const { client, url, seen } = await resumable(
      (res) => cut(res, frame),
      (res) => void stream(res, event(resultOf('c'), 'e1')).end(),
    );
    const answer = await client.post(url, request('c', 'tools/call', CALL));
    expect(await answer.answer('c')).toEqual(resultOf('c'));
    expect(cursorsOf(seen)).toEqual([cursor]);
  }
});

// A server that is restarting or too busy still has the stream afterwards.
it.each([429, 502, 503, 504])('resuming is tried again after status %i', async (status) => {
  let times = 0;
  const { client, url, seen } = await resumable(
    (res) => cut(res, PRIMING),
    (res) => {
      times += 1;
      if (times < 3) res.writeHead(status).end();
      else stream(res, event(resultOf('c'), 'e1')).end();
    },
  );
  const answer = await client.post(url, request('c', 'tools/call', CALL));
  expect(await answer.answer('c')).toEqual(resultOf('c'));
  expect(cursorsOf(seen)).toEqual(['prime', 'prime', 'prime']);
});

it.each<[string, PuppetOptions['onGet']]>([
  ['404', (res) => void res.writeHead(404).end()],
  ['400', (res) => void res.writeHead(400).end()],
  ['no stream', (res) => void res.writeHead(200).end('hello')],
  ['503 for ever', (res) => void res.writeHead(503).end()],
  ['connections that break', (res) => void res.destroy()],
])('resuming that is answered with %s ends the call with an error', async (_, onResume) => {
  const { client, url, seen } = await resumable((res) => cut(res, PRIMING), onResume);
  const answer = await client.post(url, request('c', 'tools/call', CALL));
  expect((await answer.answer('c')).error).toMatchObject({
    ...{ code: -32000, data: { reason: 'server_lost' } },
  });
  expect(seen.filter(isCall)).toHaveLength(1);
});

it('the GET stream goes on after its last event, or anew if the server does not know that', async () => {
  const gate = newGate();
  const cursors: unknown[] = [];
  const made = puppet({
    onGet: (res, { headers }) => {
      const cursor = headers['last-event-id'];
      cursors.push(cursor);
      if (cursor === undefined && cursors.length === 1) {
        void gate.opened.then(() => cut(res, PRIMING, event(logLine('one'), 'e1')));
        stream(res, ': here\n\n');
      } else if (cursor === 'e1') {
        cut(res, event(logLine('two'), 'e2'));
      } else if (cursor === 'e2') {
        res.writeHead(400).end();
      } else {
        stream(res, event(logLine('three'), 'e3'));
      }
    },
  });
  const node = await startNode({ server: undefined, upstream: await listen(made.app) });
  const { client } = await openSession(node.url);
  const listener = await client.listen(node.url);
  gate.open();
  await listener.first(3);
  expect(listener.messages).toEqual(['one', 'two', 'three'].map(logLine));
  expect(cursors).toEqual([undefined, 'e1', 'e2', undefined]);
});
