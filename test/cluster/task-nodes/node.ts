/** A node with tools that work as tasks. Environment: REDIS_URL, PREFIX, LEASE_MS, POLL_MS, ORPHANS. */
import type { AddressInfo } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { ElicitResultSchema } from '@modelcontextprotocol/sdk/types.js';
import express from 'express';
import { z } from 'zod';
import { serveParent } from '../../rig/child.js';
import type { Anynode } from '../../../src/index.js';
import { anynode } from '../../../src/index.js';

const POLL_MS = Number(process.env.POLL_MS ?? 1_000);
const refused: string[] = [];
const wanted = ({ taskRequestedTtl: ttl }: { taskRequestedTtl?: number | null | undefined }) => ({
  pollInterval: POLL_MS,
  ...(typeof ttl === 'number' && { ttl }),
});
/** Its types do not have the option. */
interface Asking {
  sendRequest(request: object, schema: object, options: object): Promise<{ action: string }>;
}

const mcp: Anynode = anynode({
  server: () => {
    // Asked for by now: the factory runs later than `anynode` returns.
    const { taskStore, taskMessageQueue } = mcp;
    const server = new McpServer(
      { name: 'tasks', version: '1.0.0' },
      {
        ...{ taskStore, taskMessageQueue },
        capabilities: { tasks: { requests: { tools: { call: {} } }, list: {}, cancel: {} } },
      },
    );
    server.experimental.tasks.registerToolTask(
      'work',
      { inputSchema: { ms: z.number() }, execution: { taskSupport: 'required' } },
      {
        createTask: async ({ ms }, extra) => {
          const task = await extra.taskStore.createTask(wanted(extra));
          void pause(ms)
            .then(() =>
              extra.taskStore.storeTaskResult(task.taskId, 'completed', {
                content: [{ type: 'text', text: 'worked' }],
              }),
            )
            .catch((error: unknown) => refused.push(String(error)));
          return { task };
        },
        getTask: (_args, { taskId, taskStore: store }) => store.getTask(taskId),
        getTaskResult: (_args, { taskId, taskStore: store }) =>
          store.getTaskResult(taskId) as never,
      },
    );
    server.experimental.tasks.registerToolTask(
      'ask',
      { inputSchema: {}, execution: { taskSupport: 'required' } },
      {
        createTask: async (_args, extra) => {
          const task = await extra.taskStore.createTask(wanted(extra));
          const requestedSchema = { type: 'object' as const, properties: {} };
          const params = { mode: 'form' as const, message: 'who?', requestedSchema };
          (extra as unknown as Asking)
            .sendRequest({ method: 'elicitation/create', params }, ElicitResultSchema, {
              relatedTask: { taskId: task.taskId },
            })
            .then((answer) =>
              extra.taskStore.storeTaskResult(task.taskId, 'completed', {
                content: [{ type: 'text', text: answer.action }],
              }),
            )
            .catch((error: unknown) => refused.push(String(error)));
          return { task };
        },
        getTask: (_args, { taskId, taskStore: store }) => store.getTask(taskId),
        getTaskResult: (_args, { taskId, taskStore: store }) =>
          store.getTaskResult(taskId) as never,
      },
    );
    return server;
  },
  redis: process.env.REDIS_URL,
  prefix: process.env.PREFIX,
  leaseMs: Number(process.env.LEASE_MS),
  tasks: { orphans: process.env.ORPHANS === 'keep' ? 'keep' : 'fail' },
});

const app = express().use('/mcp', mcp);
const server = app.listen(0, '127.0.0.1', () => {
  void mcp.ready().then(() => {
    serveParent({
      port: (server.address() as AddressInfo).port,
      nodeId: mcp.nodeId,
      methods: { refused: () => refused },
    });
  });
});
