import type { ReplicaTransport } from './replica-transport.js';

/** A server whose tool list goes on for ever is not asked for ever. */
const MOST_PAGES = 100;

interface ToolList {
  tools?: { name: string; annotations?: Record<string, unknown> }[];
  nextCursor?: string;
}

/** The annotations of a tool, as the server lists it; the client may never have asked for them. */
export async function annotationsOf(
  transport: ReplicaTransport | undefined,
  tool: unknown,
): Promise<Record<string, unknown>> {
  let cursor: string | undefined;
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const params = cursor === undefined ? undefined : { cursor };
    const answer = await transport?.query('tools/list', params);
    if (answer === undefined || !('result' in answer)) return {};
    const { tools, nextCursor } = answer.result as ToolList;
    const found = tools?.find(({ name }) => name === tool);
    if (found !== undefined) return found.annotations ?? {};
    if (nextCursor === undefined) return {};
    cursor = nextCursor;
  }
  return {};
}
