/**
 * `affinity: 'owner'`: when a closing owner hands over a session that is in use, and what such a session needs until
 * then.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { memoryBackplane } from '../../src/index.js';
import { newGate } from '../integration/support/gate.js';
import { announce, scriptedServer, type Tools } from '../integration/support/scripted-server.js';
import { openSession, startNode, type TestNode } from '../integration/support/serve.js';
import { hasMethod, response } from '../support/mcp-http.js';
import { wrappedBackplane } from '../support/wrapped-backplane.js';
import { call, owned, text } from './support.js';

/**
 * Starts two nodes. The first one closes only when `release` is called, because a call of another session runs there.
 */
async function owners(rehydrating = (): Promise<void> => Promise.resolve()) {
  const [started, gate] = [newGate(), newGate()];
  const errors: unknown[] = [];
  const tools: Tools = {
    hold: async () => {
      started.open();
      await gate.opened;
      return 'held';
    },
    // The server asks its client outside of any call, and sends a message about the answer.
    ask: ({ server }) => {
      server
        .listRoots()
        .then(({ roots }) => announce(server, `${roots.length} roots`))
        .catch((error: unknown) => errors.push(error));
      return 'asked';
    },
  };
  const options = {
    ...{ backplane: memoryBackplane(), affinity: 'owner' as const },
    server: async ({ rehydrated }: { rehydrated: boolean }) => {
      if (rehydrated) await rehydrating();
      return scriptedServer(tools);
    },
  };
  const [a, b] = [await startNode(options), await startNode(options)];
  const busy = await openSession(a.url);
  const held = busy.client.post(a.url, call(90, 'hold'));
  await started.opened;
  const release = async (closing: Promise<void>): Promise<void> => {
    gate.open();
    await held;
    await closing;
  };
  return { a, b, errors, release };
}

/** Opens a session whose server has asked its client for its roots. */
async function asked({ a, b }: { a: TestNode; b: TestNode }) {
  const { client } = await openSession(a.url, { capabilities: { roots: {} } });
  const before = await client.listen(a.url);
  (await client.post(a.url, call(1, 'ask'))).expect(200);
  const { message } = await before.next(hasMethod('roots/list'));
  const answer = response(message?.id as string, { roots: [] });
  const resume = async () => {
    await before.untilEnded();
    return client.listen(b.url, { lastEventId: before.lastEventId ?? '' });
  };
  return { client, answer, resume };
}

// Bug: the replica was discarded as soon as it had the answer, before it could use it. And if another node had passed
// the answer on, the owner did not check whether the replica was idle.
it.each(['a', 'b'] as const)(
  'a closing owner lets a server use the answer it waits for, and then gives it up: answered on %s',
  async (where) => {
    const nodes = await owners();
    const { client, answer, resume } = await asked(nodes);
    const closing = nodes.a.mcp.close({ drainMs: 20_000 });
    const stream = await resume();
    (await client.post(nodes[where].url, answer)).expect(202);
    const { message } = await stream.next(hasMethod('notifications/message'));
    expect(message?.params).toMatchObject({ data: '0 roots' });
    await expect.poll(() => nodes.a.mcp.health().sessions).toBe(1);
    expect(nodes.errors).toEqual([]);
    await nodes.release(closing);
  },
);

// Bug: only replicas that existed when the node began to close were given up. One that was being built stayed to the
// end.
it('a closing owner gives up a server that was being built when its call has ended', async () => {
  const [building, built] = [newGate(), newGate()];
  const { a, b, release } = await owners(() => {
    building.open();
    return built.opened;
  });
  const { client } = await openSession(b.url);
  await b.mcp.close();
  const first = client.post(a.url, call(1, 'echo'));
  await building.opened;
  const closing = a.mcp.close({ drainMs: 20_000 });
  built.open();
  (await first).expect(200);
  await expect.poll(() => a.mcp.health().sessions).toBe(1);
  await release(closing);
});

// Bug: a closing node waited only for its own calls. Its clients waited for calls that ran elsewhere, and could not
// resume.
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

// Bug: the node had ended its calls already. A call that it began then had no node to end it, and its client got an
// error.
it('a closed node begins no request that another node sends it', async () => {
  const store = memoryBackplane();
  const reached = newGate();
  const gate = newGate();
  const slow = wrappedBackplane(store, (joined) => ({
    async commit(commit) {
      if (commit.operations.some((each) => each.type === 'append' && each.ends === '60')) {
        reached.open();
        await gate.opened;
      }
      return joined.commit(commit);
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
