import type { RequestHandler } from 'express';
import type { NodeOptions, TestNode } from './serve.js';
import { listen, mounted, startNode } from './serve.js';

/** The two ways to mount a handler that keeps its sessions itself: in the process of the node, or behind a URL. */
export const WAYS = ['handler', 'upstream'] as const;
export type Way = (typeof WAYS)[number];

/** What a node is given for a server that is mounted this way; for several nodes, each has its own server, or they share it. */
async function mountedAs(way: Way, handler: RequestHandler): Promise<NodeOptions> {
  const without = { server: undefined };
  if (way === 'handler') return { ...without, handler };
  return { ...without, upstream: await listen(mounted(handler)) };
}

export async function startIntercepted(
  way: Way,
  handler: RequestHandler,
  options: NodeOptions = {},
): Promise<TestNode> {
  return startNode({ ...(await mountedAs(way, handler)), ...options });
}
