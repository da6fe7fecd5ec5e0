/**
 * `mcp.notify`: each session that should get the notification gets it once, on whichever node it is, and no other does.
 */
import { describe, expect, it } from 'vitest';
import { memoryBackplane } from '../../src/index.js';
import { scriptedServer } from './support/scripted-server.js';
import { openSession, startNode, STORES } from './support/serve.js';
import { eventually } from './support/signal.js';

const KINDS = [
  ['toolsChanged', 'tools'],
  ['promptsChanged', 'prompts'],
  ['resourcesChanged', 'resources'],
] as const;

describe.each(STORES)('over %s', (_, openStore) => {
  it('a list change reaches each session once, on whichever node it listens', async () => {
    const store = openStore();
    const a = await startNode({ backplane: store() });
    const b = await startNode({ backplane: store() });
    const sessions = await Promise.all([a, b, a].map(({ url }) => openSession(url)));
    const streams = await Promise.all(sessions.map(({ client }) => client.listen(b.url)));
    for (const [method] of KINDS) expect(await a.mcp.notify[method]()).toBe(3);
    for (const stream of streams) await stream.first(3);
    // A second call reaches the connected clients again, because something has changed since.
    expect(await b.mcp.notify.toolsChanged()).toBe(3);
    for (const stream of streams) {
      await stream.first(4);
      expect(stream.messages).toEqual(
        [...KINDS, KINDS[0]].map(([, kind]) => ({
          jsonrpc: '2.0',
          method: `notifications/${kind}/list_changed`,
        })),
      );
    }
  });

  it('a client without an open stream gets one of each kind when it is back, and later ones again', async () => {
    const { mcp, url } = await startNode({ backplane: openStore()() });
    const { client } = await openSession(url);
    await client.request(url, 'resources/subscribe', { uri: 'a:1' });
    await client.request(url, 'resources/subscribe', { uri: 'a:2' });
    const told = [];
    for (let round = 0; round < 3; round += 1) {
      told.push(await mcp.notify.toolsChanged());
      told.push(await mcp.notify.resourceUpdated('a:1'));
    }
    told.push(await mcp.notify.resourceUpdated('a:2'));
    expect(told).toEqual([1, 1, 0, 0, 0, 0, 1]);
    const stream = await client.listen(url);
    await stream.first(3);
    stream.close();
    await eventually(() => mcp.health().streams === 0);
    expect(await mcp.notify.toolsChanged()).toBe(1);
    const again = await client.listen(url);
    await again.next();
    expect(
      [...stream.messages, ...again.messages].map(({ method, params }) => [method, params]),
    ).toEqual([
      ['notifications/tools/list_changed', undefined],
      ['notifications/resources/updated', { uri: 'a:1' }],
      ['notifications/resources/updated', { uri: 'a:2' }],
      ['notifications/tools/list_changed', undefined],
    ]);
  });

  it('an updated resource reaches its subscribers only, until they unsubscribe', async () => {
    const { mcp, url } = await startNode({ backplane: openStore()() });
    const [first, second] = [await openSession(url), await openSession(url)];
    await first.client.request(url, 'resources/subscribe', { uri: 'a:1' });
    await second.client.request(url, 'resources/subscribe', { uri: 'a:2' });
    expect(await mcp.notify.resourceUpdated('a:1')).toBe(1);
    expect(await mcp.notify.resourceUpdated('a:3')).toBe(0);
    const stream = await first.client.listen(url);
    expect((await stream.next()).message?.params).toEqual({ uri: 'a:1' });
    await first.client.request(url, 'resources/unsubscribe', { uri: 'a:1' });
    expect(await mcp.notify.resourceUpdated('a:1')).toBe(0);
  });
});

it('a server that has not announced the notification, or has refused the subscription, sends none', async () => {
  const { mcp, url } = await startNode({
    backplane: memoryBackplane(),
    server: () => scriptedServer({}, { tools: {}, prompts: { listChanged: false } }),
  });
  const { client } = await openSession(url);
  const failed = await client.request(url, 'resources/subscribe', { uri: 'a:1' });
  expect(failed.error).toBeDefined();
  const told = [
    ...(await Promise.all(KINDS.map(([method]) => mcp.notify[method]()))),
    await mcp.notify.resourceUpdated('a:1'),
  ];
  expect(told).toEqual([0, 0, 0, 0]);
});
