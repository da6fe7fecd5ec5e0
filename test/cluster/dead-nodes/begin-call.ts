import type { NodeProcess } from '../../rig/processes.js';
import type { RawClient } from '../../support/mcp-http.js';
import { hasMethod, request } from '../../support/mcp-http.js';

/** What a tool of `node.ts` is to do: how many steps of how many milliseconds, and on which node it never ends. */
export type BeginArgs = [steps?: number, ms?: number, stuckOn?: string];

/** Starts a call on a node, and resolves when its first progress has come. */
export async function beginCall(
  client: RawClient,
  node: NodeProcess,
  tool: string,
  ...[steps = 1000, ms = 100, stuckOn]: BeginArgs
) {
  const id = client.nextId();
  const args = { steps, ms, ...(stuckOn !== undefined && { stuckOn }) };
  const params = { name: tool, arguments: args, _meta: { progressToken: `p${id}` } };
  const { sse } = await client.post(node.url, request(id, 'tools/call', params));
  await sse.next(hasMethod('notifications/progress'));
  return { id, sse };
}
