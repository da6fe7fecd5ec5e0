/** What becomes of a task whose node dies, or is paused, while it works on it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import type { NodeProcess } from '../../demo/rig/processes.js';
import { startNode } from '../../demo/rig/processes.js';
import { answers, RawClient, request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';

const LEASE_MS = 1_500;

let nodes: NodeProcess[] = [];
let client: RawClient;

afterEach(async () => {
  client.close();
  await Promise.all(nodes.map((node) => node.stop({ graceMs: 0 })));
});

async function cluster() {
  const env = { REDIS_URL: redisUrl(), PREFIX: uniquePrefix(), LEASE_MS: String(LEASE_MS) };
  const script = new URL('task-nodes/node.ts', import.meta.url);
  nodes = await Promise.all([0, 1].map(() => startNode({ script, env })));
  const [a, b] = nodes;
  if (a === undefined || b === undefined) throw new Error('No nodes');
  client = new RawClient();
  await client.initialize(a.url);
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

async function start(node: NodeProcess, ms: number): Promise<string> {
  const params = { name: 'work', arguments: { ms }, task: { ttl: 60_000 } };
  return (await ask(node, 'tools/call', params)).result?.task?.taskId ?? '';
}

it('its node is killed: whoever waits for its result elsewhere hears that it has failed', async () => {
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

it('its node had finished it before it was killed: the result is there', async () => {
  const { a, b } = await cluster();
  const taskId = await start(a, 50);
  await ask(a, 'tasks/result', { taskId });
  a.kill('SIGKILL');
  expect((await ask(b, 'tasks/get', { taskId })).result?.status).toBe('completed');
  expect((await ask(b, 'tasks/result', { taskId })).result).toMatchObject({
    content: [{ text: 'worked' }],
  });
});

it('its node was only paused: what has failed stays so, and the late result is refused', async () => {
  const { a, b } = await cluster();
  const taskId = await start(a, 1_000);
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
