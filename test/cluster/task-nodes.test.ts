/** What a client is told of a task whose node dies or is paused while it works on it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import type { NodeProcess } from '../rig/processes.js';
import { startNode } from '../rig/processes.js';
import { answers, hasMethod, RawClient, request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';

const LEASE_MS = 1_500;

let nodes: NodeProcess[] = [];
let client: RawClient;

afterEach(async () => {
  client.close();
  await Promise.all(nodes.map((node) => node.stop({ graceMs: 0 })));
});

async function cluster(more: Record<string, string> = {}) {
  const env = {
    REDIS_URL: redisUrl(),
    PREFIX: uniquePrefix(),
    LEASE_MS: String(LEASE_MS),
    ...more,
  };
  const script = new URL('task-nodes/node.ts', import.meta.url);
  nodes = await Promise.all([0, 1].map(() => startNode({ script, env })));
  const [a, b] = nodes;
  if (a === undefined || b === undefined) throw new Error('No nodes');
  client = new RawClient();
  await client.initialize(a.url, { capabilities: { elicitation: {} } });
  return { a, b };
}

interface Answer {
  result?: Record<string, unknown> & { task?: { taskId: string }; status?: string };
  error?: { message: string };
}

async function ask(
  node: NodeProcess,
  method: string,
  params: Record<string, unknown>,
): Promise<Answer> {
  const id = client.nextId();
  const { sse } = (await client.post(node.url, request(id, method, params))).expect(200);
  return (await sse.next(answers(id), 15_000)).message as Answer;
}

async function start(node: NodeProcess, ms: number, ttl = 60_000): Promise<string> {
  const params = { name: 'work', arguments: { ms }, task: { ttl } };
  return (await ask(node, 'tools/call', params)).result?.task?.taskId ?? '';
}

it('a waiting client is told that the task has failed when its node is killed', async () => {
  const { a, b } = await cluster();
  const taskId = await start(a, 60_000);
  expect((await ask(b, 'tasks/get', { taskId })).result?.status).toBe('working');
  const waiting = ask(b, 'tasks/result', { taskId });
  a.kill('SIGKILL');
  const died = performance.now();
  const { result } = await waiting;
  // Its lease, the time that it has to be missing, and the poll interval of the task, twice.
  expect(performance.now() - died).toBeLessThan(LEASE_MS + 900 + 2_000 + 2_000);
  expect(result).toMatchObject({ isError: true });
  expect(JSON.stringify(result)).toContain('is gone');
  const task = (await ask(b, 'tasks/get', { taskId })).result;
  expect(task).toMatchObject({ status: 'failed' });
  expect(task?.statusMessage).toContain('is gone');
});

it('the first client that asks is told that the task has failed when its node was killed before', async () => {
  const { a, b } = await cluster();
  const taskId = await start(a, 60_000);
  a.kill('SIGKILL');
  await a.exited;
  const { result } = await ask(b, 'tasks/result', { taskId });
  expect(result).toMatchObject({ isError: true });
  expect(JSON.stringify(result)).toContain('is gone');
  // And again: what it has come to stays.
  expect((await ask(b, 'tasks/result', { taskId })).result).toMatchObject({ isError: true });
  expect((await ask(b, 'tasks/cancel', { taskId })).error?.message).toContain('terminal status');
});

it('a waiting client is told at the end of the ttl when failed tasks are kept', async () => {
  const { a, b } = await cluster({ ORPHANS: 'keep' });
  const taskId = await start(a, 60_000, 5_000);
  const began = performance.now();
  const waiting = ask(b, 'tasks/result', { taskId });
  a.kill('SIGKILL');
  await sleep(3_000);
  expect((await ask(b, 'tasks/get', { taskId })).result?.status).toBe('working');
  expect((await waiting).error?.message).toContain(`Task not found: ${taskId}`);
  expect(performance.now() - began).toBeLessThan(5_000 + 3_000);
});

it('an answer to a question of a killed node gets 202, and the task has failed', async () => {
  const { a, b } = await cluster();
  const params = { name: 'ask', arguments: {}, task: { ttl: 60_000 } };
  const taskId = (await ask(a, 'tools/call', params)).result?.task?.taskId ?? '';
  const id = client.nextId();
  const { sse } = (await client.post(b.url, request(id, 'tasks/result', { taskId }))).expect(200);
  const { message } = await sse.next(hasMethod('elicitation/create'));
  a.kill('SIGKILL');
  await client.respond(b.url, message?.id ?? '', { action: 'accept', content: {} });
  const answer = (await sse.next(answers(id), 15_000)).message;
  expect(answer?.result).toMatchObject({ isError: true });
  expect((await ask(b, 'tasks/get', { taskId })).result?.status).toBe('failed');
});

it('a client that stops waiting gets no answer, and the task goes on', async () => {
  const { a, b } = await cluster({ POLL_MS: '3600000' });
  const taskId = await start(a, 60_000);
  const id = client.nextId();
  const { sse } = (await client.post(b.url, request(id, 'tasks/result', { taskId }))).expect(200);
  await client.notify(b.url, 'notifications/cancelled', { requestId: id });
  await sse.ended;
  expect(sse.messages).toEqual([]);
  expect((await ask(b, 'tasks/get', { taskId })).result?.status).toBe('working');
});

it('a result from before the node was killed is returned', async () => {
  const { a, b } = await cluster();
  const taskId = await start(a, 50);
  await ask(a, 'tasks/result', { taskId });
  a.kill('SIGKILL');
  expect((await ask(b, 'tasks/get', { taskId })).result?.status).toBe('completed');
  expect((await ask(b, 'tasks/result', { taskId })).result).toMatchObject({
    content: [{ text: 'worked' }],
  });
});

it('a late result of a node that was only paused is refused, and the task stays failed', async () => {
  const { a, b } = await cluster();
  const taskId = await start(a, 2_500);
  a.kill('SIGSTOP');
  expect((await ask(b, 'tasks/result', { taskId })).result).toMatchObject({ isError: true });
  a.kill('SIGCONT');
  const deadline = Date.now() + 10_000;
  let refused: string[] = [];
  while (refused.length === 0 && Date.now() < deadline) {
    refused = await a.call<string[]>('refused');
    await sleep(100);
  }
  expect(refused).toEqual([expect.stringContaining('terminal status')]);
  expect((await ask(b, 'tasks/get', { taskId })).result?.status).toBe('failed');
});
