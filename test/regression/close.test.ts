import { setTimeout as sleep } from 'node:timers/promises';
import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js';
import { expect, it } from 'vitest';
import type { Backplane } from '../../src/index.js';
import { memoryBackplane } from '../../src/index.js';
import { newGate } from '../integration/support/gate.js';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { openSession, rawClient, startNode } from '../integration/support/serve.js';
import { signal } from '../integration/support/signal.js';
import { request } from '../support/mcp-http.js';
import { wrappedBackplane } from '../support/wrapped-backplane.js';

// A GET that waits for the old holder's answer belongs to no list yet that `close()` goes through. It opened its
// connection after the node had left, and kept the HTTP server from closing.
it('a GET that arrives while the node closes is ended or refused', async () => {
  const backplane = memoryBackplane();
  let asked = (): void => undefined;
  const waits = new Promise<void>((resolve) => (asked = resolve));
  const silent: Backplane = {
    join: (options) =>
      backplane.join({
        ...options,
        onMessage: (message) => {
          if (message.type === 'release') asked();
          else options.onMessage(message);
        },
      }),
  };
  const holder = await startNode({ backplane: silent });
  const node = await startNode({ backplane });
  const { client } = await openSession(holder.url);
  await client.listen(holder.url);

  const get = client.get(node.url);
  await waits;
  await node.mcp.close();
  const answer = await get;

  if (answer.status === 200) await answer.sse.untilEnded();
  else expect(answer.status).toBe(503);
});

// While a request is being stored nothing runs yet: `close()` saw an idle node, and did not wait for it.
it('a request that is being stored when the node closes is answered or refused', async () => {
  const shared = memoryBackplane();
  const slow = wrappedBackplane(shared, (joined) => ({
    async commit(step) {
      await sleep(30);
      return joined.commit(step);
    },
  }));
  const tools = { wait: () => sleep(100, 'done') };
  const { url, mcp } = await startNode({ backplane: slow, tools });
  // Of a revision without priming events: it cannot come back, so that it is left to finish.
  const { client } = await openSession(url, { protocolVersion: '2025-06-18' });

  const posted = client.post(url, request(50, 'tools/call', { name: 'wait', arguments: {} }));
  await sleep(15);
  await mcp.close();
  const answer = await posted;

  if (answer.status === 200) expect(await answer.answer(50)).toMatchObject({ result: {} });
  else expect(answer.status).toBe(503);
});

// It failed on a backplane that had been left, and the client was told, with 200, of an error inside the server.
it('an `initialize` that arrives while the node closes is answered, or refused with 503', async () => {
  const server = () => sleep(200, scriptedServer());
  const { url, mcp } = await startNode({ server });
  const client = rawClient();
  const params = {
    protocolVersion: '2025-11-25',
    capabilities: {},
    clientInfo: { name: 'x', version: '1' },
  };
  const posted = client.post(url, request(1, 'initialize', params));
  await sleep(50);
  await mcp.close();
  const answer = await posted;
  if (answer.status === 200) expect(await answer.answer(1)).toMatchObject({ result: {} });
  else expect(answer.status).toBe(503);
});

// Each was asked to close twice, and only the second time, which had nothing left to do, was waited for.
it('close() resolves when all servers have closed', async () => {
  let closed = false;
  const server = () => {
    const built = scriptedServer();
    const close = built.close.bind(built);
    built.close = async () => {
      await sleep(200);
      await close();
      closed = true;
    };
    return built;
  };
  const { url, mcp } = await startNode({ server });
  await openSession(url);
  await mcp.close();
  expect(closed).toBe(true);
});

/**
 * Makes a tool with large answers, which each take 5 ms to write. The calls answer together, once there are `most`.
 * `closing` resolves while the second answer is written. By then all calls have answered.
 */
function largeAnswers(most: number) {
  let begun = 0;
  const [all, closing] = [signal(), signal()];
  let turn = 0;
  const large = async (): Promise<CallToolResult> => {
    begun += 1;
    if (begun === most) all.resolve();
    await all.promise;
    const toJSON = (): object => {
      turn += 1;
      if (turn === 2) closing.resolve();
      const until = performance.now() + 5;
      while (performance.now() < until);
      return { text: 'x'.repeat(300_000) };
    };
    return { content: [], structuredContent: { toJSON } };
  };
  return { large, closing: closing.promise };
}

// Large answers wait for turns of the event loop of their own. A node that closed meanwhile did not wait for them: they were
// refused, and their clients heard that the connection was closed.
it.each([0, 10_000])('answers from before close() are stored: drainMs %s', async (drainMs) => {
  const most = 40;
  const { large, closing } = largeAnswers(most);
  const { mcp, url } = await startNode({ responseMode: 'json', tools: { large } });
  const { client } = await openSession(url, { protocolVersion: '2025-03-26' });
  const batch = Array.from({ length: most }, (_, at) =>
    request(100 + at, 'tools/call', { name: 'large' }),
  );
  const posted = client.post(url, batch);
  await closing;
  await mcp.close({ drainMs });
  const answer = await posted;
  expect(answer.status).toBe(200);
  const result: unknown = expect.anything();
  expect(answer.json()).toMatchObject(batch.map(({ id }) => ({ id, result })));
});

// What still ran was left to other nodes before they were stored, and with it all of its batch.
it('answers from before close() are stored for a batch that is left to other nodes, too', async () => {
  const most = 20;
  const { large, closing } = largeAnswers(most);
  const never = signal();
  const slow = () => never.promise.then(() => 'done');
  const shared = memoryBackplane();
  const results: unknown[] = [];
  const backplane: Backplane = {
    join(options) {
      const joined = shared.join(options);
      const commit = joined.commit.bind(joined);
      joined.commit = async (step) => {
        const reply = await commit(step);
        for (const [at, each] of step.operations.entries()) {
          const isAnswer = each.type === 'append' && each.message?.includes('"result"') === true;
          if (isAnswer && reply.status === 'ok') results.push(reply.results[at]?.status);
        }
        return reply;
      };
      return joined;
    },
  };
  const recovery = 'rerun-idempotent' as const;
  const { mcp, url } = await startNode({ backplane, recovery, tools: { large, slow } });
  const { client } = await openSession(url, { protocolVersion: '2025-03-26' });
  const batch = Array.from({ length: most + 1 }, (_, at) =>
    request(100 + at, 'tools/call', { name: at === 0 ? 'slow' : 'large' }),
  );
  const { sse } = await client.post(url, batch);
  await closing;
  await mcp.close({ drainMs: 0 });
  await sse.untilEnded();
  never.resolve();
  expect(results).toEqual(Array.from({ length: most }, () => 'appended'));
});

// Whether anything ran was asked once, when the drain began: a call that came while connections were being ended was
// ended as soon as they were.
it('a call that begins during the drain has the rest of `drainMs`', async () => {
  const started = newGate();
  const gate = newGate();
  const tools = {
    hold: async () => {
      started.open();
      await gate.opened;
      return 'done';
    },
  };
  const { url, mcp } = await startNode({ tools });
  const sessions = await Promise.all([openSession(url), openSession(url)]);
  const listeners = await Promise.all(sessions.map(({ client }) => client.listen(url)));
  const { client } = await openSession(url);
  const closing = mcp.close({ drainMs: 10_000 });
  const answer = await client.post(url, request(50, 'tools/call', { name: 'hold' }));
  await started.opened;
  await Promise.all(listeners.map((listener) => listener.ended));
  await Promise.race([closing, sleep(100)]);
  gate.open();
  expect(await answer.answer(50)).toMatchObject({ result: {} });
  await closing;
});
