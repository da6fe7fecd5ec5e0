/** Requests that no client would send, to a node that has to pass them on (`affinity: 'owner'`). */
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { memoryBackplane } from '../../src/index.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { request } from '../support/mcp-http.js';

/** Sends one POST as bytes. Resolves with all that comes back until `until` is in it, or the connection ends. */
async function post(
  url: string,
  { target = '/mcp', host = 'localhost', sessionId = '', body = '', until = /\r\n0\r\n\r\n/ },
): Promise<string> {
  const { port } = new URL(url);
  const socket = connect(Number(port), '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  await once(socket, 'connect');
  socket.write(
    [
      `POST ${target} HTTP/1.1`,
      `Host: ${host}`,
      'Accept: application/json, text/event-stream',
      'Content-Type: application/json',
      `Mcp-Session-Id: ${sessionId}`,
      `Content-Length: ${Buffer.byteLength(body)}`,
      ...['', body],
    ].join('\r\n'),
  );
  let text = '';
  for await (const chunk of socket) {
    text += String(chunk);
    if (until.test(text)) break;
  }
  return text;
}

// Their URL was parsed where the request is packed for the owner, and that threw: the response broke off, and so did the
// timer that asks the owner again, which no one caught. That ended the process.
it.each([
  ['a Host that is none', { host: 'not a host' }],
  ['an absolute target that is no URL', { target: 'http://localhost:99999/mcp' }],
])('a call with %s reaches its owner, and the process goes on', async (_, odd) => {
  const store = memoryBackplane();
  const both = { backplane: store, affinity: 'owner' as const, mount: { trustProxy: true } };
  const urls: unknown[] = [];
  const tools = {
    url: ({ extra }: { extra: { requestInfo?: { url?: URL } } }) => {
      urls.push(extra.requestInfo?.url?.pathname);
      return 'done';
    },
  };
  const a = await startNode({ ...both, tools });
  const b = await startNode(both);
  const { sessionId } = await openSession(a.url);
  const body = JSON.stringify(request(50, 'tools/call', { name: 'url', arguments: {} }));
  const answer = await post(b.url, { ...odd, sessionId, body });
  expect(answer).toContain('"done"');
  expect(urls).toEqual(['/mcp']);
  await sleep(1_000); // the owner would be asked again by now: a rejection that nobody handles fails the run
  expect([...a.logged, ...b.logged]).toEqual([]);
});
