/** A session with `affinity: 'owner'` whose owner cannot reach the server at its `upstream`. */
import type { ServerResponse } from 'node:http';
import { describe, expect, it } from 'vitest';
import type { RawClient } from '../support/mcp-http.js';
import { fallible, type Fallible } from '../integration/support/fallible.js';
import { answerJson, puppet, resultOf, type Puppet } from '../integration/support/puppet.js';
import {
  openSession,
  startNode,
  STORES,
  type OpenStore,
  type TestNode,
} from '../integration/support/serve.js';

const CALL = { name: 'who', arguments: {} };

interface Place extends TestNode {
  server: Fallible;
  behind: Puppet;
}

// Calls of such a session failed on every node until the server of its owner was back, or the owner died.
describe.each(STORES)('the server of the owner is away, over %s', (_, openStore) => {
  it('a call that reaches another node runs there at once, and the next ones too', async () => {
    const { a, b, client } = await owned(openStore);
    await a.server.kill();
    expect(await who(client, b)).toBe('b');
    expect(await who(client, a)).toBe('b');
    await a.server.restart(a.behind.app);
    await expect.poll(() => a.mcp.health().status, { timeout: 10_000 }).toBe('ready');
    expect(await who(client, a)).toBe('b');
    expect(callsOf(a)).toBe(1);
    expect(await a.mcp.sessions.get(client.sessionId ?? '')).toMatchObject({
      owner: b.mcp.nodeId,
    });
  });

  it('a call that reaches the owner itself ends with an error, and the session moves with the next', async () => {
    const { a, b, client } = await owned(openStore);
    await client.request(b.url, 'logging/setLevel', { level: 'error' });
    await a.server.kill();
    expect(await who(client, a)).toBe('server_unreachable');
    expect(await who(client, b)).toBe('b');
    expect(await who(client, a)).toBe('b');
    const methods = b.behind.seen.flatMap(({ message }) => message?.method ?? []);
    expect(methods.filter((method) => method === 'initialize')).toHaveLength(1);
    expect(methods).toContain('logging/setLevel');
  });

  it('of calls that come all at once, each runs once', async () => {
    const { a, b, client } = await owned(openStore);
    await a.server.kill();
    const all = Array.from({ length: 20 }, () => who(client, b));
    expect(await Promise.all(all)).toEqual(all.map(() => 'b'));
    expect(callsOf(b)).toBe(20);
  });

  it('where no node can reach its server, each call ends with an error, and one of them is enough', async () => {
    const { a, b, client } = await owned(openStore);
    await a.server.kill();
    await b.server.kill();
    for (const node of [b, a, b, a]) expect(await who(client, node)).toBe('server_unreachable');
    await a.server.restart(a.behind.app);
    await expect.poll(() => a.mcp.health().status, { timeout: 10_000 }).toBe('ready');
    expect(await who(client, a)).toBe('a');
    expect(await who(client, b)).toBe('a');
  });
});

it('a session stays while a call of it runs on the server, which takes no new connections', async () => {
  const [, openStore] = STORES[0] as (typeof STORES)[number];
  let running: { res: ServerResponse; id: unknown } | undefined;
  const { a, b, client } = await owned(openStore, (res, id) => {
    running = { res, id };
  });
  const slow = client.request(b.url, 'tools/call', { ...CALL, name: 'slow' });
  await expect.poll(() => running).toBeDefined();
  a.server.server.close();
  expect(await who(client, b)).toBe('server_unreachable');
  if (running !== undefined) answerJson(running.res, resultOf(running.id, 'slowly'));
  expect((await slow).result).toMatchObject({ content: [{ text: 'slowly' }] });
  a.server.server.closeAllConnections();
  expect(await who(client, b)).toBe('b');
});

/** Two nodes, each with a server of its own, and a session that the first one owns and has called once. */
async function owned(
  openStore: OpenStore,
  onSlow: (res: ServerResponse, id: unknown) => void = () => undefined,
): Promise<{ a: Place; b: Place; client: RawClient }> {
  const join = openStore();
  const start = async (name: string): Promise<Place> => {
    const behind = puppet({
      onCall: (res, { message }) => {
        if (message?.params?.['name'] === 'slow') onSlow(res, message.id);
        else answerJson(res, resultOf(message?.id, name));
      },
    });
    const server = await fallible(behind.app);
    const backplane = join();
    const node = await startNode({
      ...{ server: undefined, upstream: server.url, affinity: 'owner', backplane },
    });
    await node.mcp.ready({ upstream: true });
    return { ...node, server, behind };
  };
  const [a, b] = [await start('a'), await start('b')];
  const { client } = await openSession(a.url);
  expect(await who(client, b)).toBe('a');
  return { a, b, client };
}

/** Which server has answered, or why none has. */
async function who(client: RawClient, { url }: TestNode): Promise<string | undefined> {
  const { result, error } = await client.request(url, 'tools/call', CALL);
  const content = result?.['content'] as { text: string }[] | undefined;
  return content?.[0]?.text ?? (error?.data as { reason: string } | undefined)?.reason;
}

function callsOf({ behind }: Place): number {
  return behind.seen.filter(({ message }) => message?.method === 'tools/call').length;
}
