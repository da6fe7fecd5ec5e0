import type { CallMessage, FromChild } from './ipc.js';

export interface ServeParentOptions {
  port: number;
  nodeId?: string;
  /** The functions that the parent may call with `NodeProcess.call()`. Params and results travel as JSON. */
  methods?: Record<string, (params: never) => unknown>;
}

/**
 * The child's side of `startNode()`. It reports that the child is ready, answers the parent's calls, and ends the child
 * when the parent ends.
 *
 * Returns `false`, and does nothing, if the program was started by hand and has no parent.
 */
export function serveParent(options: ServeParentOptions): boolean {
  if (process.send === undefined) return false;
  const { port, nodeId, methods = {} } = options;

  process.on('message', (message: CallMessage) => void answer(message, methods).then(tellParent));
  // The parent has died or closed the channel, so no test needs this process any more.
  process.on('disconnect', () => process.exit(0));
  tellParent({ ready: true, port, ...(nodeId !== undefined && { nodeId }) });
  return true;
}

/** Sends a message to the parent. A parent that has ended is no error, because 'disconnect' follows. */
function tellParent(message: FromChild): void {
  process.send?.(message, undefined, undefined, () => undefined);
}

async function answer(
  { call, method, params }: CallMessage,
  methods: NonNullable<ServeParentOptions['methods']>,
): Promise<FromChild> {
  try {
    const handler = methods[method];
    if (handler === undefined) throw new Error(`This node has no method '${method}'`);
    return { call, result: await handler(params as never) };
  } catch (error) {
    const { name, message } = error instanceof Error ? error : new Error(String(error));
    return { call, error: { name, message } };
  }
}
