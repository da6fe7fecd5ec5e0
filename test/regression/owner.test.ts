import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import type { Backplane, Membership, Operation } from '../../src/backplane/backplane.js';
import { LOG_START } from '../../src/backplane/backplane.js';
import { AnynodeError, memoryBackplane } from '../../src/index.js';
import { systemClock } from '../../src/protocol/clock.js';
import { newGate } from '../integration/support/gate.js';
import { scriptedServer, type Tools } from '../integration/support/scripted-server.js';
import {
  openSession,
  startNode,
  STORES,
  type NodeOptions,
  type TestNode,
} from '../integration/support/serve.js';
import { notification, request, type RawClient } from '../support/mcp-http.js';

const call = (id: number, name: string, args: Record<string, unknown> = {}) =>
  request(id, 'tools/call', { name, arguments: args });

/** A store whose nodes are watched, or held up, by the test. */
function wrapped(
  store: Backplane,
  wrap: (membership: Membership) => Partial<Membership>,
): Backplane {
  return {
    join(options) {
      const membership = store.join(options);
      const changed = wrap(membership);
      return new Proxy(membership, {
        get(target, name) {
          const own: unknown = Reflect.get(name in changed ? changed : target, name);
          return typeof own === 'function' ? (own as () => unknown).bind(target) : own;
        },
      });
    },
  };
}

/** Two nodes in one process, and a client whose session the first one owns. */
async function owned(options: NodeOptions) {
  const store = memoryBackplane();
  const both = { backplane: store, affinity: 'owner' as const, ...options };
  const a = await startNode(both);
  const b = await startNode(both);
  return { store, a, b, ...(await openSession(a.url)) };
}

/** An owner that says only what the test makes it say. */
async function ghostOwner(store: Backplane, from: TestNode, sessionId: string) {
  const ghost = store.join({
    ...{ nodeId: 'ghost', leaseMs: 10_000, commandTimeoutMs: 2_000 },
    ...{ sessionTtlMs: 60_000, pendingTtlMs: 60_000 },
    retention: { maxEvents: 1_000, maxAgeMs: 60_000 },
    ...{ clock: systemClock, logger: console },
    ...{ onMessage: () => undefined, onLost: () => undefined, onLapse: () => undefined },
  });
  await ghost.ready();
  let number = 0;
  const commit = (operation: Operation) => {
    number += 1;
    return ghost.commit({ sessionId, number, operations: [operation] });
  };
  const assign = { type: 'assign', stream: undefined, revision: undefined } as const;
  await commit({ ...assign, dead: from.mcp.nodeId });
  expect((await ghost.load(sessionId))?.owner).toBe('ghost');
  return {
    /** Begins the request that came last. */
    async begin() {
      const inbound = await ghost.history(sessionId, LOG_START, 100);
      const stream = inbound.filter(({ direction }) => direction === 'in').at(-1)?.stream;
      await commit({ ...assign, stream, dead: undefined });
    },
    leave: () => ghost.leave(),
  };
}

const text = (answer: object | undefined): unknown =>
  (answer as { result?: { content: { text: string }[] } }).result?.content[0]?.text;

async function textOf(client: RawClient, url: string, message: ReturnType<typeof call>) {
  const answer = await client.post(url, message);
  return text(await answer.answer(message.id as number));
}

// Packing threw: the response had begun and broke off, and the timer that was to ask again threw for ever after, which
// no one caught. That ended the process.
it('an authorization that is no JSON arrives as far as it is, and ends nothing', async () => {
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  const auth = {
    ...{ token: 't', clientId: 'c', scopes: ['s'], resource: 'no url' },
    extra: { big: 10n, circular, tenant: 'acme' },
  };
  const tools = {
    who: ({ extra }: { extra: { authInfo?: unknown } }) => JSON.stringify(extra.authInfo),
  };
  const { a, b, client } = await owned({
    tools,
    mount: {
      before: [
        (req, _res, next) => {
          Object.assign(req, { auth });
          next();
        },
      ],
    },
  });
  expect(JSON.parse((await textOf(client, b.url, call(50, 'who'))) as string)).toEqual({
    ...{ token: 't', clientId: 'c', scopes: ['s'], extra: { tenant: 'acme' } },
  });
  (await client.post(b.url, notification('notifications/custom'))).expect(202);
  expect([...a.logged, ...b.logged]).toEqual([]);
});

// Only what ran on the closing node was waited for. What its clients waited for ran elsewhere, and they cannot come back.
it('a closing node keeps a connection that cannot be resumed until the owner has answered', async () => {
  const started = newGate();
  const gate = newGate();
  const tools = {
    hold: async () => {
      started.open();
      await gate.opened;
      return 'done';
    },
  };
  const { b, client } = await owned({ tools, responseMode: 'json' });
  const posted = client.post(b.url, call(50, 'hold'));
  await started.opened;
  const closing = b.mcp.close({ drainMs: 5_000 });
  await Promise.race([closing, sleep(200)]);
  gate.open();
  expect((await posted).expect(200).json()).toMatchObject({ result: {} });
  await closing;
});

// Whether anything ran was asked once, when the drain began: a call that came while connections were being ended was
// ended as soon as they were.
it('a call that begins during the drain has the rest of its time', async () => {
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
  const answer = await client.post(url, call(50, 'hold'));
  await started.opened;
  await Promise.all(listeners.map((listener) => listener.ended));
  await Promise.race([closing, sleep(100)]);
  gate.open();
  expect(await answer.answer(50)).toMatchObject({ result: {} });
  await closing;
});

// It had ended what it ran already: what it began then was nobody's, and its client got an error.
it('a node that has closed begins nothing that another node sends it', async () => {
  const store = memoryBackplane();
  const reached = newGate();
  const gate = newGate();
  const slow = wrapped(store, (membership) => ({
    async commit(commit) {
      if (commit.operations.some((each) => each.type === 'append' && each.ends === '60')) {
        reached.open();
        await gate.opened;
      }
      return membership.commit(commit);
    },
  }));
  const never = newGate();
  const holding = [newGate(), newGate()];
  const a = await startNode({
    ...{ backplane: slow, affinity: 'owner' },
    tools: {
      hold: async ({ args }) => {
        holding[Number(args['at'])]?.open();
        await never.opened;
        return 'never';
      },
      where: async () => {
        await never.opened;
        return 'a';
      },
    },
  });
  const b = await startNode({ backplane: store, affinity: 'owner', tools: { where: () => 'b' } });
  const [one, two] = await Promise.all([openSession(a.url), openSession(a.url)]);
  await one.client.post(a.url, call(60, 'hold', { at: 0 }));
  await two.client.post(a.url, call(61, 'hold', { at: 1 }));
  await Promise.all(holding.map(({ opened }) => opened));
  const closing = a.mcp.close({ drainMs: 0 });
  await reached.opened;
  const answer = await two.client.post(b.url, call(70, 'where'));
  await sleep(50); // it is sent, and arrives
  gate.open();
  await closing;
  expect(text(await answer.answer(70, 20_000))).toBe('b');
});

// It looked for it from the beginning: with a full log that was 64 MiB for each.
it.each(STORES)('a big request is read where it is in the log, over %s', async (_, openStore) => {
  const store = openStore();
  let read = 0;
  const counted = wrapped(store(), (membership) => ({
    async history(...args) {
      const entries = await membership.history(...args);
      read += entries.length;
      return entries;
    },
  }));
  const tools: Tools = { big: ({ args }) => `${String(args['text']).length}` };
  const a = await startNode({ backplane: counted, affinity: 'owner', tools });
  const b = await startNode({ backplane: store(), affinity: 'owner' });
  const { client, sessionId } = await openSession(a.url);
  for (let n = 0; n < 40; n += 1) {
    await a.mcp.session(sessionId).notify({ method: 'notifications/message', params: { n } });
  }
  const answer = await client.post(b.url, call(50, 'big', { text: 'x'.repeat(100_000) }));
  expect(text(await answer.answer(50))).toBe('100000');
  expect(read).toBe(1);
  // Several at once, of which the last is where the stream ends.
  const several = [51, 52].map((id) => call(id, 'big', { text: 'x'.repeat(100_000 + id) }));
  const both = await client.post(b.url, several);
  expect(text(await both.answer(51))).toBe('100051');
  expect(text(await both.answer(52))).toBe('100052');
});

// Redis was away for a moment: the call was the owner's by then, which forgot it, and its client waited for ever.
it('a call is run although its owner cannot read it at first', async () => {
  const store = memoryBackplane();
  let failures = 0;
  const away = wrapped(store, (membership) => ({
    async history(...args) {
      failures += 1;
      if (failures === 1) throw new AnynodeError('backplane_unavailable', 'away');
      return membership.history(...args);
    },
  }));
  const tools: Tools = { big: ({ args }) => `${String(args['text']).length}` };
  const a = await startNode({ backplane: away, affinity: 'owner', tools });
  const b = await startNode({ backplane: store, affinity: 'owner' });
  const { client } = await openSession(a.url);
  const answer = await client.post(b.url, call(50, 'big', { text: 'x'.repeat(100_000) }));
  expect(text(await answer.answer(50))).toBe('100000');
  expect(failures).toBeGreaterThan(1);
});

// The owner was told of it before it knew the request, and took it for one that had ended.
it('a call is cancelled while its owner still reads it', async () => {
  const store = memoryBackplane();
  const reading = newGate();
  const gate = newGate();
  const told = newGate();
  const slow = wrapped(store, (membership) => ({
    async history(...args) {
      reading.open();
      await gate.opened;
      return membership.history(...args);
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

// Its server object was gone by then, and the client was told of an internal error.
it('a request whose session is taken over between its commit and its run is lost with its node', async () => {
  const store = memoryBackplane();
  const gate = newGate();
  const opened = newGate();
  onTestFinished(gate.open);
  let holds = false;
  const late = wrapped(store, (membership) => ({
    async commit(commit) {
      const reply = await membership.commit(commit);
      if (holds && commit.operations.some(({ type }) => type === 'open')) {
        opened.open();
        await gate.opened;
      }
      return reply;
    },
  }));
  const a = await startNode({ backplane: late, affinity: 'owner' });
  const { client, sessionId } = await openSession(a.url);
  expect((await client.post(a.url, call(49, 'echo'))).status).toBe(200);
  holds = true;
  const posted = client.post(a.url, call(50, 'echo'));
  await opened.opened;
  const ghost = await ghostOwner(store, a, sessionId);
  await expect.poll(() => a.mcp.health().sessions).toBe(0);
  gate.open();
  const answer = await (await posted).answer(50);
  expect(answer.error).toMatchObject({ code: -32000, data: { reason: 'node_lost' } });
  await ghost.leave();
});

// It was stored, and then waited for a second step without any limit of time.
it('a cancellation is acknowledged when it is stored, whatever becomes of the request', async () => {
  const store = memoryBackplane();
  const gate = newGate();
  onTestFinished(gate.open);
  const stuck = wrapped(store, (membership) => ({
    async commit(commit) {
      if (commit.operations.some((each) => each.type === 'append')) await gate.opened;
      return membership.commit(commit);
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

// Every 0.9 s another step was queued, by both nodes, for as long as the backplane was away.
it('a request is begun with one step, however long that takes', async () => {
  const store = memoryBackplane();
  const gate = newGate();
  onTestFinished(gate.open);
  const thrice = newGate();
  let steps = 0;
  let asked = 0;
  const stuck = wrapped(store, (membership) => ({
    async commit(commit) {
      const assigns = commit.operations.filter(({ type }) => type === 'assign').length;
      steps += assigns;
      if (assigns > 0) await gate.opened;
      return membership.commit(commit);
    },
  }));
  const asking = wrapped(store, (membership) => ({
    async send(nodeId, message) {
      await membership.send(nodeId, message);
      if (message.type === 'run' && (asked += 1) === 3) setImmediate(thrice.open);
    },
  }));
  const a = await startNode({ backplane: stuck, affinity: 'owner' });
  const b = await startNode({ backplane: asking, affinity: 'owner' });
  const { client } = await openSession(a.url);
  const answer = await client.post(b.url, call(50, 'echo'));
  await thrice.opened;
  gate.open();
  expect(await answer.answer(50)).toMatchObject({ result: {} });
  await textOf(client, a.url, call(51, 'echo')); // whatever was queued before it is through
  expect(steps).toBe(1);
});

// That somebody else had begun one request was taken for a sign that the session was somebody else's.
it("an owner that hears of a dead node's request keeps its server object", async () => {
  const { store, a, b, client, sessionId } = await owned({
    server: () => {
      let count = 0;
      return scriptedServer({ next: () => `${(count += 1)}` });
    },
  });
  const ghost = await ghostOwner(store, a, sessionId);
  const answer = await client.post(b.url, call(50, 'echo'));
  await ghost.begin();
  await ghost.leave();
  await client.post(b.url, notification('notifications/custom'));
  await expect.poll(async () => textOf(client, b.url, call(51, 'next'))).toBe('1');
  expect(await answer.answer(50, 20_000)).toMatchObject({ error: { data: { node: 'ghost' } } });
  expect(await textOf(client, b.url, call(52, 'next'))).toBe('2');
});

// The word of it went to the node that had been the owner when it was stored: the successor's handler was never aborted.
it('a cancellation that races with a takeover reaches the successor', async () => {
  const store = memoryBackplane();
  const ending = newGate();
  const gate = newGate();
  onTestFinished(gate.open);
  const stuck = wrapped(store, (membership) => ({
    async commit(commit) {
      if (commit.operations.some((each) => each.type === 'append')) {
        ending.open();
        await gate.opened;
      }
      return membership.commit(commit);
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
  const stuck = wrapped(store, (membership) => ({
    async commit(commit) {
      if (commit.operations.some((each) => each.type === 'receive')) await gate.opened;
      return membership.commit(commit);
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

// Two sockets bring a node its messages and its replies: a paused owner that was given the session again could read only
// afterwards that it had lost it. It discarded its new server object, and the call in it ended with an error.
it('word that a session was lost, which comes late, does not take it from the node that owns it again', async () => {
  const gate = newGate();
  const tools: Tools = {
    slow: async () => {
      await gate.opened;
      return 'done';
    },
  };
  const { store, a, client, sessionId } = await owned({ tools });
  const answer = textOf(client, a.url, call(70, 'slow'));
  await expect.poll(() => a.mcp.health().inFlight).toBe(1);
  const other = store.join({
    ...{ nodeId: 'other', leaseMs: 10_000, commandTimeoutMs: 2_000 },
    ...{ sessionTtlMs: 60_000, pendingTtlMs: 60_000 },
    retention: { maxEvents: 1_000, maxAgeMs: 60_000 },
    ...{ clock: systemClock, logger: console },
    ...{ onMessage: () => undefined, onLost: () => undefined, onLapse: () => undefined },
  });
  await other.send(a.mcp.nodeId, { type: 'disowned', sessionId });
  await sleep(50);
  expect(a.mcp.health()).toMatchObject({ sessions: 1, inFlight: 1 });
  gate.open();
  expect(await answer).toBe('done');
  await other.leave();
});
