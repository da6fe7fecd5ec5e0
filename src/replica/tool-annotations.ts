import { isObject } from '../protocol/json/jsonrpc.js';
import type { ReplicaTransport } from './replica-transport.js';

/** How many pages of a tool list are read. The list of a faulty server may never end. */
const MOST_PAGES = 100;

/** A tool as a server lists it. Servers behind HTTP may list anything, so no type is certain. */
export interface ListedTool {
  name?: unknown;
  annotations?: Record<string, unknown>;
}

/** Asks the server for its tools, page by page. The client may never have listed them. */
export async function* toolPagesOf(
  transport: ReplicaTransport | undefined,
): AsyncGenerator<ListedTool[]> {
  let cursor: unknown;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const params = cursor === undefined ? undefined : { cursor };
    const answer = await transport?.query('tools/list', params);
    if (answer === undefined || !('result' in answer)) return;
    const { tools, nextCursor } = toolPageOf(answer.result);
    yield tools;
    if (nextCursor === undefined) return;
    cursor = nextCursor;
  }
}

/** Reads one page of a tool list that a server has sent. */
export function toolPageOf(result: unknown): { tools: ListedTool[]; nextCursor: unknown } {
  const { tools, nextCursor } = isObject(result) ? result : {};
  const list: unknown[] = Array.isArray(tools) ? tools : [];
  const isTool = (tool: unknown): tool is ListedTool => typeof tool === 'object' && tool !== null;
  return { tools: list.filter(isTool), nextCursor };
}

/** Asks the server for the annotations of a tool. */
export async function annotationsOf(
  transport: ReplicaTransport | undefined,
  tool: unknown,
): Promise<Record<string, unknown>> {
  for await (const tools of toolPagesOf(transport)) {
    const found = tools.find(({ name }) => name === tool);
    if (found !== undefined) return found.annotations ?? {};
  }
  return {};
}
