import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import {
  CallToolResultSchema,
  ElicitRequestSchema,
  ElicitResultSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import type { Anynode, Backplane } from '../../src/index.js';
import { anynode } from '../../src/index.js';
import { newGate } from '../integration/support/gate.js';
import { openSession } from '../integration/support/serve.js';
import { request } from '../support/mcp-http.js';
import { BACKPLANES } from './stores.js';

/** Starts a node whose tools run as tasks. */
async function nodeOn(backplane: Backplane, affinity: 'any' | 'owner' = 'any') {
  const answers: unknown[] = [];
  const mcp: Anynode = anynode({ backplane, affinity, leaseMs: 3_000, server: () => build() });
  const build = () => {
    const { taskStore, taskMessageQueue } = mcp;
    const server = new McpServer(
      { name: 'tasks', version: '1' },
      {
        ...{ taskStore, taskMessageQueue },
        capabilities: { tasks: { requests: { tools: { call: {} } }, list: {}, cancel: {} } },
      },
    );
    const register = (name: string, work: Parameters<typeof run>[0]) =>
      server.experimental.tasks.registerToolTask(
        name,
        { inputSchema: { ms: z.number() }, execution: { taskSupport: 'required' } },
        {
          createTask: async ({ ms }, extra) => {
            const task = await extra.taskStore.createTask({});
            run(work, ms, task.taskId, extra);
            return { task };
          },
          getTask: (_args, { taskId, taskStore: store }) => store.getTask(taskId),
          getTaskResult: (_args, { taskId, taskStore: store }) =>
            store.getTaskResult(taskId) as never,
        },
      );
    type Extra = {
      taskStore: {
        storeTaskResult(id: string, status: 'completed', result: object): Promise<void>;
      };
      sendRequest(request: object, schema: object, options: object): Promise<unknown>;
    };
    const run = (
      work: (ms: number, taskId: string, extra: Extra) => Promise<string>,
      ms: number,
      taskId: string,
      extra: Extra,
    ): void => {
      work(ms, taskId, extra)
        .then((text) =>
          extra.taskStore.storeTaskResult(taskId, 'completed', {
            content: [{ type: 'text', text }],
          }),
        )
        .catch((error: unknown) => answers.push(error));
    };
    register('sleep', async (ms) => {
      await sleep(ms);
      return 'slept';
    });
    register('ask', async (ms, taskId, extra) => {
      await sleep(ms);
      const answer = await extra.sendRequest(
        {
          method: 'elicitation/create',
          params: {
            message: 'Name?',
            requestedSchema: { type: 'object', properties: { name: { type: 'string' } } },
          },
        },
        ElicitResultSchema,
        { relatedTask: { taskId } },
      );
      answers.push(answer);
      return JSON.stringify(answer);
    });
    server.registerTool('hold', {}, async () => {
      await letGo.opened;
      return { content: [] };
    });
    return server;
  };
  const letGo = newGate();
  const http = createServer(express().use('/mcp', mcp)).listen(0, '127.0.0.1');
  await once(http, 'listening');
  onTestFinished(async () => {
    await mcp.close({ drainMs: 0 });
    http.closeAllConnections();
    http.close();
  });
  const port = (http.address() as AddressInfo).port;
  return { mcp, url: new URL(`http://127.0.0.1:${port}/mcp`), answers, letGo };
}

/** Connects a client of the SDK whose POSTs go where the test says. */
async function clientOf(first: URL) {
  const to = { url: first };
  const client = new Client(
    { name: 'c', version: '1' },
    { capabilities: { elicitation: { form: {} }, tasks: {} } },
  );
  let asked = 0;
  client.setRequestHandler(ElicitRequestSchema, () => {
    asked += 1;
    return { action: 'accept' as const, content: { name: 'Ada' } };
  });
  const transport = new StreamableHTTPClientTransport(first, {
    fetch: (_url, init) => fetch(to.url, init),
  });
  await client.connect(transport);
  onTestFinished(() => client.close());
  const start = async (name: string, ms: number): Promise<string> => {
    const stream = client.experimental.tasks.callToolStream(
      { name, arguments: { ms } },
      CallToolResultSchema,
      { task: { ttl: 60_000 } },
    );
    for await (const message of stream) {
      if (message.type === 'taskCreated') return message.task.taskId;
      if (message.type === 'error') throw message.error;
    }
    throw new Error('No task was created');
  };
  return { client, to, start, asked: () => asked };
}

describe.each(BACKPLANES)('tasks through the middleware (%s)', (_name, openStore) => {
  async function setUp() {
    const store = openStore();
    const [a, b] = [await nodeOn(store()), await nodeOn(store())];
    await Promise.all([a.mcp.ready(), b.mcp.ready()]);
    return { a, b, ...(await clientOf(a.url)) };
  }

  it('a result that is awaited on another node arrives', async () => {
    const { b, client, to, start } = await setUp();
    const taskId = await start('sleep', 2_000);
    to.url = b.url;
    expect(await client.experimental.tasks.getTask(taskId)).toMatchObject({ status: 'working' });
    const result = await client.experimental.tasks.getTaskResult(taskId, CallToolResultSchema);
    expect(result.content).toEqual([{ type: 'text', text: 'slept' }]);
    const { tasks } = await client.experimental.tasks.listTasks();
    expect(tasks.map((task) => task.taskId)).toEqual([taskId]);
  });

  it('a question of a task reaches the waiting client, and the answer reaches the node that asks', async () => {
    const { a, b, client, to, start, asked } = await setUp();
    const taskId = await start('ask', 200);
    to.url = b.url;
    const result = await client.experimental.tasks.getTaskResult(taskId, CallToolResultSchema);
    expect(result.content[0]).toMatchObject({ text: expect.stringContaining('Ada') as string });
    expect(asked()).toBe(1);
    expect(a.answers).toHaveLength(1);
    expect(b.answers).toEqual([]);
  });

  it('a task that is cancelled on another node stays cancelled, and its next question is refused', async () => {
    const { a, b, client, to, start, asked } = await setUp();
    const taskId = await start('ask', 100);
    await sleep(500);
    to.url = b.url;
    expect(await client.experimental.tasks.cancelTask(taskId)).toMatchObject({
      status: 'cancelled',
    });
    await expect
      .poll(() => a.answers.map(String), { timeout: 15_000 })
      .toContainEqual(expect.stringContaining('Task cancelled or completed'));
    expect(asked()).toBe(0);
    expect(await client.experimental.tasks.getTask(taskId)).toMatchObject({ status: 'cancelled' });
  });

  // The SDK tells the client that its task has ended. Bug: in a replica that was discarded meanwhile that was an error,
  // although the task was still running.
  it('a closing owner lets a running task report its end', async () => {
    const store = openStore();
    const a = await nodeOn(store(), 'owner');
    const b = await nodeOn(store(), 'owner');
    await Promise.all([a.mcp.ready(), b.mcp.ready()]);
    const { to, start } = await clientOf(a.url);
    const taskId = await start('sleep', 1_000);
    const other = await openSession(a.url.href);
    const call = request(90, 'tools/call', { name: 'hold', arguments: {} });
    const held = other.client.post(a.url.href, call);
    await expect.poll(() => a.mcp.health().inFlight).toBe(1);
    to.url = b.url;
    const closing = a.mcp.close({ drainMs: 15_000 });
    await expect.poll(() => a.mcp.health().sessions, { timeout: 10_000 }).toBe(1);
    expect((await b.mcp.taskStore.getTask(taskId))?.status).toBe('completed');
    expect(a.answers).toEqual([]);
    a.letGo.open();
    await held;
    await closing;
  });
});
