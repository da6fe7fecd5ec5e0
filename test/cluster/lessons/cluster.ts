import { afterEach } from 'vitest';
import { startNode } from '../../../demo/rig/processes.js';
import type { NodeProcess } from '../../../demo/rig/processes.js';
import type { AnynodeOptions } from '../../../src/index.js';
import type { JsonRpc, SseReader } from '../../support/mcp-http.js';
import { RawClient, request } from '../../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../../support/redis-fixture.js';

const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Three node processes on one Redis, named as the tests speak of them. They end with the test. */
export async function threeNodes(
  options: Partial<AnynodeOptions> = {},
  redis = redisUrl(),
): Promise<{ a: NodeProcess; b: NodeProcess; c: NodeProcess; prefix: string }> {
  const prefix = uniquePrefix();
  const env = { REDIS_URL: redis, PREFIX: prefix, OPTIONS: JSON.stringify(options) };
  const script = new URL('node.ts', import.meta.url);
  const start = async () => {
    const node = await startNode({ script, env });
    closers.push(() => node.stop({ graceMs: 0 }));
    return node;
  };
  const [a, b, c] = await Promise.all([start(), start(), start()]);
  return { a, b, c, prefix };
}

/** A client that can be asked everything, with a session that `node` has made. */
export async function clientOf(
  node: NodeProcess,
  headers: Record<string, string> = {},
): Promise<RawClient> {
  const client = new RawClient({ headers });
  closers.push(() => client.close());
  const capabilities = { elicitation: {}, sampling: {}, roots: { listChanged: true } };
  await client.initialize(node.url, { capabilities });
  return client;
}

/** Starts a call and returns its stream. */
export async function callOn(
  client: RawClient,
  node: NodeProcess,
  name: string,
  args: Record<string, unknown> = {},
): Promise<{ id: number; sse: SseReader }> {
  const id = client.nextId();
  const params = { name, arguments: args };
  const { sse } = await client.post(node.url, request(id, 'tools/call', params));
  return { id, sse };
}

/** The text that a tool answered with. */
export function textOf(message: JsonRpc | undefined): string | undefined {
  const content = message?.result?.content as { text: string }[] | undefined;
  return content?.[0]?.text;
}

/** Calls a tool and returns the text of its answer. */
export async function answerOf(
  client: RawClient,
  node: NodeProcess,
  name: string,
  args: Record<string, unknown> = {},
): Promise<string | undefined> {
  return textOf(await client.request(node.url, 'tools/call', { name, arguments: args }));
}
