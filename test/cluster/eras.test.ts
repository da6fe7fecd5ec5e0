/** Clients of both eras on one URL, behind which each request goes to the next node. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { startNginx, type Nginx } from '../rig/nginx.js';
import { MODERN, postModern, subscribe } from '../support/modern-http.js';
import {
  clientOf,
  newClient,
  startNodes,
  useCluster,
  type Nodes,
  type TestNode,
} from './support/cluster.js';
import {
  filter,
  listeners,
  moved,
  newer,
  older,
  subscribed,
  WATCHED,
  type EraClient,
} from './support/era-clients.js';
import type { Kind } from './support/servers.js';

/** The notifications that each client gets in each test, and how often. No others may come. */
const ALL = { tools: 1, prompts: 1, resources: 1, [`updated ${WATCHED}`]: 1 };

async function tellAll(node: TestNode): Promise<number[]> {
  return [
    await node.call('toolsChanged'),
    await node.call('promptsChanged'),
    await node.call('resourceUpdated', { uri: 'test://other' }),
    await node.call('resourceUpdated', { uri: WATCHED }),
    await node.call('resourcesChanged'),
  ];
}

/** Resolves when each client has got the last notification. */
async function haveHeard(clients: EraClient[]): Promise<void> {
  await Promise.all(clients.map(({ heard }) => heard.until('resources')));
  // What comes twice may come late.
  await pause(200);
}

describe('two nodes behind round robin, and a third one without clients', () => {
  const cluster = useCluster();
  let nginx: Nginx;
  beforeAll(async () => {
    const upstreams = cluster.processes.slice(0, 2).map(({ port }) => port);
    nginx = await startNginx({ upstreams });
  });
  afterAll(() => nginx.stop());

  async function mount(
    server: Kind = 'McpServer v1',
  ): Promise<{ nodes: Nodes; url: string; ids: string[] }> {
    const nodes = await cluster.mount({ modern: true, server });
    const ids = nodes.slice(0, 2).map(({ nodeId }) => nodeId);
    return { nodes, url: `${nginx.url}/${nodes[0].mount}`, ids: ids.sort() };
  }

  it.each([
    ['v1', 'McpServer v1'],
    ['v2, as those of the newer one', 'McpServer v2'],
  ] as const)('serve each client in its own era, with older servers as %s', async (_, kind) => {
    const { nodes, url, ids } = await mount(kind);
    const [a, b] = nodes;
    const [old, fresh, fallen] = [
      await older(url, a),
      await newer(url),
      await newer(url, 'legacy'),
    ];
    expect(fresh.client.getNegotiatedProtocolVersion()).toBe(MODERN);
    expect(fresh.sessionId()).toBeUndefined();
    expect(fallen.client.getNegotiatedProtocolVersion()).toBe('2025-11-25');
    const sessions = [old.sessionId(), fallen.sessionId()].sort();
    expect((await b.call('sessions')).sort()).toEqual(sessions);

    for (const each of [old, fresh, fallen]) {
      const { tools } = await each.client.listTools();
      expect(tools.map(({ name }) => name)).toContain('whoami');
      const served = new Set<string>();
      for (let count = 0; count < 6; count += 1) {
        served.add((JSON.parse(await each.call('whoami')) as { nodeId: string }).nodeId);
      }
      expect([...served].sort()).toEqual(ids);
      const progress: number[] = [];
      const onprogress = (step: { progress: number }): void => void progress.push(step.progress);
      expect(await each.call('progress', { steps: 3 }, { onprogress })).toBe('progress: done');
      expect(progress).toEqual([1, 2, 3]);

      const key = `${url} ${each.sessionId() ?? 'none'}`;
      const controller = new AbortController();
      const call = each.call('hold', { key }, { signal: controller.signal });
      const refused = expect(call).rejects.toThrow();
      const anywhere = (what: string) => Promise.race([a, b].map((node) => node.until(what)));
      await anywhere(`held:${key}`);
      controller.abort();
      await Promise.all([refused, anywhere(`aborted:${key}`)]);
    }
  });

  it('show clients of both eras what the third node announces, once each', async () => {
    const { nodes, url } = await mount();
    const [a, b, c] = nodes;
    const clients: EraClient[] = [];
    for (let count = 0; count < 3; count += 1) {
      clients.push(await older(url, a));
      const fresh = await newer(url);
      const { honoredFilter } = await subscribed(fresh.client);
      expect(honoredFilter).toEqual(filter);
      clients.push(fresh);
    }
    // Both nodes have listeners of both eras: what is shown goes to a few connections on each.
    const streams = await Promise.all(
      [a, b].map(async (node) => (await node.call('health')).streams),
    );
    expect(Math.min(...streams)).toBeGreaterThan(1);
    expect((await c.call('health')).streams).toBe(0);

    expect(await tellAll(c)).toEqual([3, 3, 0, 3, 3]);
    await haveHeard(clients);
    for (const { counts } of clients) expect(counts()).toEqual(ALL);
    // And so from a node that has listeners itself.
    await tellAll(a);
    await Promise.all(clients.map(({ heard }) => heard.until('resources', 2)));
    for (const { counts } of clients) expect(counts()).toMatchObject({ tools: 2, prompts: 2 });
  });

  it('a node that is drained ends its subscriptions after its calls, and they go on elsewhere', async () => {
    const { nodes, url } = await mount();
    const [a, b, c] = nodes;
    const all = await listeners(url);
    for (const node of [a, b]) expect((await node.call('health')).streams).toBe(2);
    const raw = newClient();
    const call = { name: 'hold', arguments: { key: url } };
    const answer = postModern(raw, a.url, 1, 'tools/call', call);
    await a.until(`held:${url}`);
    const closing = a.call('close', { drainMs: 10_000 });
    while ((await a.call('health')).status !== 'draining') await pause(10);
    await c.call('toolsChanged');
    await Promise.all(all.map(({ heard }) => heard.until('tools')));
    await a.call('release', { key: url });
    expect((await answer).expect(200).json()).toMatchObject({
      result: { content: [{ text: 'released' }] },
    });
    await closing;
    expect(await moved(all, 2)).toEqual({ graceful: 2, remote: 0 });
    expect((await b.call('health')).streams).toBe(4);
    await c.call('promptsChanged');
    await Promise.all(all.map(({ heard }) => heard.until('prompts')));
    await pause(200);
    for (const { counts } of all) expect(counts()).toEqual({ tools: 1, prompts: 1 });
  });
});

describe('a node with subscriptions', () => {
  /** Two nodes behind a balancer, and a third one. */
  async function rig() {
    const nodes = await startNodes(3, { modern: true, leaseMs: 1500, mayComplain: true });
    const [a, b, c] = nodes as Nodes;
    const nginx = await startNginx({ upstreams: [a.process.port, b.process.port] });
    onTestFinished(() => nginx.stop());
    return { a, b, c, url: `${nginx.url}/${a.mount}` };
  }

  it('that dies ends them, and its clients get later changes on another node', async () => {
    const { a, b, c, url } = await rig();
    const all = await listeners(url);
    for (const node of [a, b]) expect((await node.call('health')).streams).toBe(2);
    const old = await older(url, c);
    a.process.kill('SIGKILL');
    await a.process.exited;
    expect(await moved(all, 2)).toEqual({ graceful: 0, remote: 2 });
    expect(await tellAll(c)).toEqual([1, 1, 0, 1, 1]);
    await haveHeard([...all, old]);
    for (const { counts } of [...all, old]) expect(counts()).toEqual(ALL);
  });

  it('that was paused for longer than its lease shows what was announced meanwhile, once', async () => {
    const { a, c } = await rig();
    const fresh = await subscribe(newClient(), a.url, filter);
    const old = await clientOf(a);
    const stream = await old.listen(a.url);
    await old.request(a.url, 'resources/subscribe', { uri: WATCHED });
    a.process.kill('SIGSTOP');
    await tellAll(c);
    await pause(3_000);
    a.process.kill('SIGCONT');
    const methods = [
      'notifications/tools/list_changed',
      'notifications/prompts/list_changed',
      'notifications/resources/updated',
      'notifications/resources/list_changed',
    ];
    await fresh.first(1 + methods.length);
    await stream.first(methods.length);
    await pause(300);
    const [, ...heard] = fresh.messages.map(({ method }) => method);
    expect(heard).toEqual(methods);
    expect(stream.messages.map(({ method }) => method)).toEqual(methods);
    expect(fresh.endedBy).toBeUndefined();
  });
});
