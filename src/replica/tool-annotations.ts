import type { ReplicaTransport } from './replica-transport.js';

/** How many pages of a tool list are read. The list of a faulty server may never end. */
const MOST_PAGES = 100;

interface ToolList {
  tools?: { name: string; annotations?: Record<string, unknown> }[];
  nextCursor?: string;
}

/** Asks the server for the annotations of a tool. The client may never have listed the tools. */
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
