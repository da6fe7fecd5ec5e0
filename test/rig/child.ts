import type { CallMessage, FromChild } from './ipc.js';

export interface ServeParentOptions {
  port: number;
  nodeId?: string;
  /** What the parent may ask for with `NodeProcess.call()`. Params and results travel as JSON. */
  methods?: Record<string, (params: never) => unknown>;
}

/**
 * The child's side of `startNode()`: reports that it is ready, answers the parent's calls, and ends with the parent.
 *
 * A program that was started by hand has no parent to serve; then nothing happens, and `false` is returned.
 */
export function serveParent(options: ServeParentOptions): boolean {
  if (process.send === undefined) return false;
  const { port, nodeId, methods = {} } = options;

  process.on('message', (message: CallMessage) => void answer(message, methods).then(tellParent));
  // The parent died or let go of the channel: whatever runs here, nobody needs it any more.
  process.on('disconnect', () => process.exit(0));
  tellParent({ ready: true, port, ...(nodeId !== undefined && { nodeId }) });
  return true;
}

/** A parent that is gone is no error: 'disconnect' follows. */
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
