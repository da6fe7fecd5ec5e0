/** How a request reaches the owner of its session from the node that received it. */
import { expect, it, onTestFinished } from 'vitest';
import { AnynodeError, memoryBackplane } from '../../src/index.js';
import { newGate } from '../integration/support/gate.js';
import { type Tools } from '../integration/support/scripted-server.js';
import { openSession, startNode, STORES } from '../integration/support/serve.js';
import { notification } from '../support/mcp-http.js';
import { wrappedBackplane } from '../support/wrapped-backplane.js';
import { call, owned, text, textOf } from './support.js';

// Bug: it could not be packed. The response broke off, and the timer that asks the owner again threw each time, which
// ended the process.
it('authorization that is not JSON reaches the owner as far as it can be written as JSON', async () => {
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

// Bug: the owner searched the log from its beginning, which was 64 MiB for each request in a full log.
it.each(STORES)(
  'an owner reads a large request at its place in the log, over %s',
  async (_, openStore) => {
    const store = openStore();
    let read = 0;
    const counted = wrappedBackplane(store(), (joined) => ({
      async history(...args) {
        const entries = await joined.history(...args);
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
  },
);

// Bug: Redis was away for a moment. The owner had begun the call and forgot it, and its client waited for ever.
it('an owner runs a call that it could not read at first', async () => {
  const store = memoryBackplane();
  let failures = 0;
  const away = wrappedBackplane(store, (joined) => ({
    async history(...args) {
      failures += 1;
      if (failures === 1) throw new AnynodeError('backplane_unavailable', 'away');
      return joined.history(...args);
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

// Bug: while the backplane was away, both nodes queued another step every 0.9 s.
it('a request is begun by one step, however long that step takes', async () => {
  const store = memoryBackplane();
  const gate = newGate();
  onTestFinished(gate.open);
  const thrice = newGate();
  let steps = 0;
  let asked = 0;
  const stuck = wrappedBackplane(store, (joined) => ({
    async commit(commit) {
      const assigns = commit.operations.filter(({ type }) => type === 'assign').length;
      steps += assigns;
      if (assigns > 0) await gate.opened;
      return joined.commit(commit);
    },
  }));
  const asking = wrappedBackplane(store, (joined) => ({
    async send(nodeId, message) {
      await joined.send(nodeId, message);
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
