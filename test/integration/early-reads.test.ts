/** Requests that change nothing begin before they are stored, and are stored together with their answers. */
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { describe, expect, it } from 'vitest';
import type { Commit } from '../../src/backplane/index.js';
import type { Backplane } from '../../src/index.js';
import { memoryBackplane } from '../../src/index.js';
import { notification, request } from '../support/mcp-http.js';
import { newGate } from './support/gate.js';
import { say, scriptedServer, type Tools } from './support/scripted-server.js';
import { openSession, rawClient, startNode, STORES, type NodeOptions } from './support/serve.js';

interface Hooks {
  /** Called before each commit. What it returns is waited for. */
  before: ((commit: Commit) => Promise<void> | undefined) | undefined;
  /** Called after each commit, before its reply is known. What it returns is waited for. */
  after?: (() => Promise<void>) | undefined;
}

/** What nodes store: for each commit, the types of its operations. */
function recording(store: Backplane) {
  const steps: string[] = [];
  const hooks: Hooks = { before: undefined };
  const backplane: Backplane = {
    join(options) {
      const joined = store.join(options);
      const commit = joined.commit.bind(joined);
      joined.commit = async (given) => {
        await hooks.before?.(given);
        steps.push(given.operations.map(({ type }) => type).join('+'));
        const reply = await commit(given);
        await hooks.after?.();
        return reply;
      };
      return joined;
    },
  };
  return { backplane, steps, hooks };
}

/** A server whose tools are listed, and annotated `readOnlyHint` unless their names begin with `change`. */
function annotated(tools: Tools = {}) {
  const server = scriptedServer(tools);
  const runs: string[] = [];
  const changes = { list: 0 };
  server.setRequestHandler(ListToolsRequestSchema, () => {
    changes.list += 1;
    return {
      tools: ['echo', 'change', ...Object.keys(tools)].map((name) => ({
        ...{ name, inputSchema: { type: 'object' as const } },
        annotations: { readOnlyHint: !name.startsWith('change') },
      })),
    };
  });
  return { server, runs, changes };
}

async function start(store: Backplane, { tools = {}, ...options }: NodeOptions = {}) {
  const record = recording(store);
  const node = await startNode({
    ...options,
    backplane: record.backplane,
    server: () => annotated({ change: () => 'changed', ...tools }).server,
  });
  return { ...node, ...record };
}

/** Starts a node and a session whose tools it knows. */
async function startKnown(store: Backplane, options: NodeOptions = {}) {
  const node = await start(store, options);
  const { client } = await openSession(node.url);
  await client.request(node.url, 'tools/list');
  node.steps.splice(0);
  return { ...node, client };
}

const call = (id: number, name: string, params = {}) =>
  request(id, 'tools/call', { name, arguments: {}, ...params });

describe.each(STORES)('over %s', (_, openStore) => {
  it.each([
    ['a tool that is annotated `readOnlyHint`', 'tools/call', { name: 'echo', arguments: {} }],
    ['ping', 'ping', {}],
    ['tools/list', 'tools/list', {}],
  ])('a call of %s is stored in one step with its answer', async (_name, method, params) => {
    const { client, url, steps } = await startKnown(openStore()());
    const { result } = await client.request(url, method, params);
    expect(result).toBeDefined();
    expect(steps).toEqual(['exchange']);
  });

  it('a call that may change something is stored before it begins', async () => {
    const { client, url, steps } = await startKnown(openStore()(), {
      tools: {
        'change-late': () => {
          steps.push('ran');
          return 'ok';
        },
      },
    });
    await client.request(url, 'tools/call', { name: 'change-late', arguments: {} });
    expect(steps).toEqual(['open', 'ran', 'append']);
  });

  it.each<[string, NodeOptions, object]>([
    ['with `earlyReads: false`', { earlyReads: false }, {}],
    ['with `affinity: "owner"`', { affinity: 'owner' }, {}],
    ['that is to become a task', {}, { task: { ttl: 1000 } }],
  ])('a call %s is stored before it begins', async (_why, options, params) => {
    const { client, url, steps } = await startKnown(openStore()(), options);
    await client.request(url, 'tools/call', { name: 'echo', arguments: {}, ...params });
    expect(steps).toEqual(['open', 'append']);
  });

  it('an answer that takes longer is stored in a second step', async () => {
    const gate = newGate();
    const { client, url, steps } = await startKnown(openStore()(), {
      tools: { slow: () => gate.opened.then(() => 'at last') },
    });
    const answer = client.request(url, 'tools/call', { name: 'slow', arguments: {} });
    await expect.poll(() => steps).toEqual(['open']);
    gate.open();
    expect(await answer).toMatchObject({ result: { content: [{ text: 'at last' }] } });
    expect(steps).toEqual(['open', 'append']);
  });

  it('progress of such a call is stored after its request, and shown before its answer', async () => {
    const { client, url, steps } = await startKnown(openStore()(), {
      tools: {
        talking: async ({ extra }) => {
          await say(extra, 'one');
          await say(extra, 'two');
          return 'three';
        },
      },
    });
    const { sse } = await client.post(url, call(7, 'talking'));
    await sse.untilEnded();
    expect(sse.messages).toMatchObject([
      { params: { data: 'one' } },
      { params: { data: 'two' } },
      { id: 7, result: { content: [{ text: 'three' }] } },
    ]);
    expect(steps[0]).toMatch(/^open/);
  });

  it('what a server says before it closes is shown before the error', async () => {
    const { client, url } = await startKnown(openStore()(), {
      tools: {
        closing: async ({ extra, server }) => {
          void say(extra, 'one');
          await server.close();
          return 'not shown';
        },
      },
    });
    const { sse } = await client.post(url, call(7, 'closing'));
    await sse.untilEnded();
    expect(sse.messages).toMatchObject([{ params: { data: 'one' } }, { id: 7, error: {} }]);
  });

  it('the stream of such a call can be resumed on another node', async () => {
    const store = openStore();
    const { client, url } = await startKnown(store());
    const other = await startNode({ backplane: store() });
    const { sse } = await client.post(url, call(7, 'echo'));
    const priming = await sse.priming();
    await sse.untilEnded();
    const resumed = await client.get(other.url, { lastEventId: priming.id ?? '' });
    await resumed.sse.untilEnded();
    expect(resumed.sse.messages).toMatchObject([{ id: 7, result: {} }]);
  });

  it('a session that was deleted on another node is not found, and no answer is shown', async () => {
    const store = openStore();
    const { client, url, hooks } = await startKnown(store());
    const other = await startNode({ backplane: store() });
    hooks.before = ({ operations }) =>
      operations[0]?.type === 'exchange'
        ? client.delete(other.url).then(() => undefined)
        : undefined;
    const refused = await client.post(url, call(7, 'echo'));
    expect(refused.status).toBe(404);
  });

  it('a request id that is in use on another node is refused, and free afterwards', async () => {
    const store = openStore();
    const gate = newGate();
    const tools = { hold: () => gate.opened.then(() => 'held') };
    const { client, url, steps } = await startKnown(store(), { tools });
    const other = await startNode({ backplane: store(), tools });
    const held = client.post(other.url, call(7, 'hold'));
    await held;
    const refused = await client.post(url, call(7, 'echo'));
    expect(refused.status).toBe(400);
    gate.open();
    await (await held).sse.untilEnded();
    steps.splice(0);
    expect(await (await client.post(url, call(7, 'echo'))).answer(7)).toMatchObject({ result: {} });
    expect(steps).toEqual(['exchange']);
  });

  it('a request on a replica that is not current runs again on a current one', async () => {
    const store = openStore();
    let runs = 0;
    const tools: Tools = {
      count: () => {
        runs += 1;
        return `run ${runs}`;
      },
    };
    const { client, url, steps, hooks } = await startKnown(store(), { tools });
    const other = await startNode({ backplane: store() });
    let isChanged = false;
    hooks.before = ({ operations }) => {
      if (operations[0]?.type !== 'exchange' || isChanged) return undefined;
      isChanged = true;
      return client
        .request(other.url, 'logging/setLevel', { level: 'error' })
        .then(() => undefined);
    };
    const { result } = await client.request(url, 'tools/call', { name: 'count', arguments: {} });
    expect(result).toMatchObject({ content: [{ text: 'run 2' }] });
    expect(steps).toEqual(['exchange', 'open', 'append']);
  });

  it('a request that is cancelled through another node while its replica is stale does not run again', async () => {
    const store = openStore();
    const aborted = newGate();
    let runs = 0;
    const tools: Tools = {
      slow: ({ extra }) => {
        runs += 1;
        extra.signal.addEventListener('abort', aborted.open);
        return aborted.opened.then(() => 'late');
      },
    };
    const { client, url, hooks } = await startKnown(store(), { tools });
    const other = await startNode({ backplane: store() });
    hooks.before = async () => {
      hooks.before = undefined;
      await client.request(other.url, 'logging/setLevel', { level: 'error' });
    };
    hooks.after = async () => {
      hooks.after = undefined;
      await client.post(other.url, notification('notifications/cancelled', { requestId: 7 }));
      await aborted.opened;
    };
    const { sse } = await client.post(url, call(7, 'slow'));
    await sse.untilEnded();
    expect(sse.messages).toEqual([]);
    expect(runs).toBe(1);
  });

  it('a cancellation in the same turn finds its request', async () => {
    const gate = newGate();
    let isAborted = false;
    const { client, url } = await startKnown(openStore()(), {
      tools: {
        slow: ({ extra }) => {
          extra.signal.addEventListener('abort', () => {
            isAborted = true;
            gate.open();
          });
          return gate.opened.then(() => 'late');
        },
      },
    });
    const answer = client.post(url, call(7, 'slow'));
    const cancelled = client.post(url, notification('notifications/cancelled', { requestId: 7 }));
    expect((await cancelled).status).toBe(202);
    await expect.poll(() => isAborted).toBe(true);
    const { sse } = await answer;
    await sse.untilEnded();
    expect(sse.messages).toEqual([]);
  });
});

it('a call of a stranger runs nothing', async () => {
  const store = memoryBackplane();
  let runs = 0;
  const { client, url } = await startKnown(store, {
    principal: (req) => req.headers['x-user'] as string | undefined,
    tools: { count: () => `run ${(runs += 1)}` },
  });
  const stranger = rawClient({ headers: { 'x-user': 'mallory' } });
  stranger.sessionId = client.sessionId;
  stranger.protocolVersion = client.protocolVersion;
  expect((await stranger.post(url, call(7, 'count'))).status).toBe(404);
  expect(runs).toBe(0);
});

it('no more calls begin than may run at a time', async () => {
  const store = memoryBackplane();
  const gate = newGate();
  let runs = 0;
  const { client, url } = await startKnown(store, {
    limits: { requestsPerSession: 3 },
    tools: {
      hold: () => {
        runs += 1;
        return gate.opened.then(() => 'held');
      },
    },
  });
  const answers = Array.from({ length: 20 }, (_, id) => client.post(url, call(id + 1, 'hold')));
  const first = await Promise.all(answers);
  expect(runs).toBe(3);
  expect(first.filter(({ status }) => status === 429)).toHaveLength(17);
  gate.open();
});

// Answered calls do not count as running. Their answers must not fill the memory while the backplane stores nothing.
it('no more calls begin than may run while their answers cannot be stored', async () => {
  const gate = newGate();
  const { client, url, steps, hooks } = await startKnown(memoryBackplane(), {
    limits: { requestsPerSession: 3 },
  });
  const { client: another } = await openSession(url);
  hooks.before = ({ sessionId }) => (sessionId === client.sessionId ? gate.opened : undefined);
  const answers = Array.from({ length: 8 }, (_, id) => client.post(url, call(id + 1, 'echo')));
  // What came before this request has begun when it is answered.
  for (let at = 0; at < 3; at += 1) await another.request(url, 'ping');
  steps.splice(0);
  gate.open();
  await Promise.all(answers);
  expect(steps.join('+').match(/exchange/g)).toHaveLength(3);
});

it('tools that the client has not listed here are asked for once, after two calls', async () => {
  const store = memoryBackplane();
  let lists = 0;
  const record = recording(store);
  const { url } = await startNode({
    backplane: record.backplane,
    server: () => {
      const { server } = annotated();
      server.setRequestHandler(ListToolsRequestSchema, () => {
        lists += 1;
        return {
          tools: [
            { name: 'echo', inputSchema: { type: 'object' }, annotations: { readOnlyHint: true } },
          ],
        };
      });
      return server;
    },
  });
  const { client } = await openSession(url);
  for (let at = 0; at < 2; at += 1) {
    await client.request(url, 'tools/call', { name: 'echo', arguments: {} });
  }
  await expect.poll(() => lists).toBe(1);
  record.steps.splice(0);
  await client.request(url, 'tools/call', { name: 'echo', arguments: {} });
  expect(record.steps).toEqual(['exchange']);
  expect(lists).toBe(1);
});

it('the tools are forgotten when the server says that their list has changed', async () => {
  const store = memoryBackplane();
  let isReadOnly = true;
  const record = recording(store);
  const { url } = await startNode({
    backplane: record.backplane,
    server: () => {
      const server = scriptedServer();
      const schema = { type: 'object' as const };
      server.setRequestHandler(ListToolsRequestSchema, () => ({
        tools: [{ name: 'flip', inputSchema: schema, annotations: { readOnlyHint: isReadOnly } }],
      }));
      server.setRequestHandler(CallToolRequestSchema, async () => {
        isReadOnly = false;
        await server.sendToolListChanged();
        return { content: [] };
      });
      return server;
    },
  });
  const { client } = await openSession(url);
  await client.request(url, 'tools/list');
  await client.request(url, 'tools/call', { name: 'flip', arguments: {} });
  record.steps.splice(0);
  await client.request(url, 'tools/call', { name: 'flip', arguments: {} });
  expect(record.steps.filter((step) => step.includes('exchange'))).toEqual([]);
});

it.each([
  [
    'in the name of a call that has ended',
    async (changed: () => Promise<void>, answered: () => Promise<unknown>) => {
      await answered();
      await changed();
    },
  ],
  [
    'while their list is being stored',
    async (changed: () => Promise<void>, answered: () => Promise<unknown>, hooks: Hooks) => {
      hooks.before = () => {
        hooks.before = undefined;
        return changed();
      };
      await answered();
    },
  ],
])('the tools are forgotten when the server says %s that they have changed', async (_, act) => {
  const says: (() => Promise<void>)[] = [];
  const { client, url, steps, hooks } = await startKnown(memoryBackplane(), {
    tools: {
      remember: ({ extra }) => {
        says.push(() => extra.sendNotification({ method: 'notifications/tools/list_changed' }));
        return 'ok';
      },
    },
  });
  await client.request(url, 'tools/call', { name: 'remember', arguments: {} });
  await act(
    async () => says[0]?.(),
    () => client.request(url, 'tools/list'),
    hooks,
  );
  steps.splice(0);
  await client.request(url, 'tools/call', { name: 'echo', arguments: {} });
  expect(steps.filter((step) => step.includes('exchange'))).toEqual([]);
});
