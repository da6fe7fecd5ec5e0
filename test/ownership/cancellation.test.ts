/** The client takes a request back whose session another node owns, or is about to own. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import type { Backplane } from '../../src/backplane/backplane.js';
import { memoryBackplane } from '../../src/index.js';
import { newGate } from '../integration/support/gate.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { notification } from '../support/mcp-http.js';
import { wrappedBackplane } from '../support/wrapped-backplane.js';
import { call, ghostOwner } from './support.js';

// The owner was told of it before it knew the request, and took it for one that had ended.
it('a call is cancelled while its owner still reads it', async () => {
  const store = memoryBackplane();
  const reading = newGate();
  const gate = newGate();
  const told = newGate();
  const slow = wrappedBackplane(store, (joined) => ({
    async history(...args) {
      reading.open();
      await gate.opened;
      return joined.history(...args);
    },
  }));
  const heard: Backplane = {
    join: (options) =>
      slow.join({
        ...options,
        onMessage: (message) => {
          options.onMessage(message);
          if (message.type === 'deliver') told.open();
        },
      }),
  };
  let ran = 0;
  const tools = { big: () => `${(ran += 1)}` };
  const a = await startNode({ backplane: heard, affinity: 'owner', tools });
  const b = await startNode({ backplane: store, affinity: 'owner' });
  const { client } = await openSession(a.url);
  const answer = await client.post(b.url, call(50, 'big', { text: 'x'.repeat(100_000) }));
  await reading.opened;
  await client.notify(b.url, 'notifications/cancelled', { requestId: 50 });
  await told.opened;
  gate.open();
  await answer.sse.ended;
  expect(answer.sse.messages).toEqual([]);
  expect(ran).toBe(0);
});

// It was stored, and then waited for a second step without any limit of time.
it('a cancellation is acknowledged when it is stored, whatever becomes of the request', async () => {
  const store = memoryBackplane();
  const gate = newGate();
  onTestFinished(gate.open);
  const stuck = wrappedBackplane(store, (joined) => ({
    async commit(commit) {
      if (commit.operations.some((each) => each.type === 'append')) await gate.opened;
      return joined.commit(commit);
    },
  }));
  const a = await startNode({ backplane: store, affinity: 'owner' });
  const b = await startNode({ backplane: stuck, affinity: 'owner' });
  const { client, sessionId } = await openSession(a.url);
  const ghost = await ghostOwner(store, a, sessionId);
  const answer = await client.post(b.url, call(50, 'echo'));
  const cancelled = client.post(b.url, notification('notifications/cancelled', { requestId: 50 }));
  const first = await Promise.race([cancelled, sleep(10_000)]);
  expect(first?.status).toBe(202);
  gate.open();
  await answer.sse.ended;
  expect(answer.sse.messages).toEqual([]);
  await ghost.leave();
});

// The word of it went to the node that had been the owner when it was stored: the successor's handler was never aborted.
it('a cancellation that races with a takeover reaches the successor', async () => {
  const store = memoryBackplane();
  const ending = newGate();
  const gate = newGate();
  onTestFinished(gate.open);
  const stuck = wrappedBackplane(store, (joined) => ({
    async commit(commit) {
      if (commit.operations.some((each) => each.type === 'append')) {
        ending.open();
        await gate.opened;
      }
      return joined.commit(commit);
    },
  }));
  const started = newGate();
  const aborted = newGate();
  const tools = {
    hold: ({ extra }: { extra: { signal: AbortSignal } }) => {
      extra.signal.addEventListener('abort', aborted.open);
      started.open();
      return new Promise<string>(() => undefined);
    },
  };
  const a = await startNode({ backplane: store, affinity: 'owner' });
  const b = await startNode({ backplane: store, affinity: 'owner', tools });
  const c = await startNode({ backplane: stuck, affinity: 'owner' });
  const { client, sessionId } = await openSession(a.url);
  const ghost = await ghostOwner(store, a, sessionId);
  const answer = await client.post(b.url, call(50, 'hold'));
  (await client.post(c.url, notification('notifications/cancelled', { requestId: 50 }))).expect(
    202,
  );
  await ending.opened;
  await ghost.leave();
  await started.opened;
  gate.open();
  await Promise.race([
    aborted.opened,
    sleep(15_000).then(() => Promise.reject(new Error('runs on'))),
  ]);
  await answer.sse.ended;
  expect(answer.sse.messages).toEqual([]);
});

// Both went in one step: the request was begun and, as far as the log knew, ended. Its handler ran on, and nobody told it.
it('a cancellation that is stored as its own node takes over is heard there', async () => {
  const store = memoryBackplane();
  const gate = newGate();
  onTestFinished(gate.open);
  const stuck = wrappedBackplane(store, (joined) => ({
    async commit(commit) {
      if (commit.operations.some((each) => each.type === 'receive')) await gate.opened;
      return joined.commit(commit);
    },
  }));
  let running = 0;
  const tools = {
    hold: ({ extra }: { extra: { signal: AbortSignal } }) => {
      running += 1;
      extra.signal.addEventListener('abort', () => (running -= 1));
      return new Promise<string>(() => undefined);
    },
  };
  const a = await startNode({ backplane: store, affinity: 'owner' });
  const b = await startNode({
    ...{ backplane: stuck, affinity: 'owner', tools },
    commandTimeoutMs: 20_000,
  });
  const { client, sessionId } = await openSession(a.url);
  const ghost = await ghostOwner(store, a, sessionId);
  const answer = await client.post(b.url, call(50, 'hold'));
  const cancelled = client.post(b.url, notification('notifications/cancelled', { requestId: 50 }));
  await ghost.leave();
  await sleep(2_500); // found dead, and its successor waits behind the cancellation
  gate.open();
  (await cancelled).expect(202);
  await answer.sse.ended;
  expect(answer.sse.messages).toEqual([]);
  await expect.poll(() => b.mcp.health().inFlight).toBe(0);
  await expect.poll(() => running).toBe(0);
});
