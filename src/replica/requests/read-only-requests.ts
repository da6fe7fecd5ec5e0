import type { JsonRpcRequest, JsonRpcResponse } from '../../protocol/json/jsonrpc.js';
import type { ReplicaTransport } from '../replica-transport.js';
import type { ListedTool } from '../tool-annotations.js';
import { toolPageOf, toolPagesOf } from '../tool-annotations.js';

/** Requests that change nothing, by their definition. A call of a tool changes nothing if the tool is annotated so. */
const READ_ONLY: ReadonlySet<string> = new Set([
  ...['ping', 'tools/list', 'prompts/list', 'prompts/get', 'completion/complete'],
  ...['resources/list', 'resources/templates/list', 'resources/read'],
]);
const CALL = 'tools/call';
const LIST = 'tools/list';
/** How many calls of tools a server object has handled before it is asked for its tools. Most sessions are short. */
const ASK_AFTER = 2;

/**
 * Says which requests of a session change nothing. It knows the tools that are annotated `readOnlyHint` from the answers to
 * `tools/list`. If the client lists no tools here, this class asks the server once.
 */
export class ReadOnlyRequests {
  /** The server object whose tools are known. A new one may have other tools. */
  private known: ReplicaTransport | undefined;
  private tools: ReadonlySet<unknown> = NONE;
  private counted: CountedCalls | undefined;

  /** Whether the request changes nothing if this server object runs it. */
  includes({ method, params }: JsonRpcRequest, transport: ReplicaTransport): boolean {
    if (method !== CALL) return READ_ONLY.has(method);
    // A call that is to become a task creates the task.
    if (params === undefined || 'task' in params) return false;
    return this.known === transport && this.tools.has(params.name);
  }

  /** Learns from a request that this server object has answered. Asks it for its tools if they are not known. */
  learn(
    { method, params }: JsonRpcRequest,
    response: JsonRpcResponse,
    transport: ReplicaTransport,
  ): void {
    if (method === LIST && 'result' in response) {
      // A list that has pages is asked for by this class, because pages of two times may not fit together.
      const { tools, nextCursor } = toolPageOf(response.result);
      if (params?.cursor === undefined && nextCursor === undefined) this.know(transport, tools);
    } else if (method === CALL && this.known !== transport) this.count(transport);
  }

  /** Forgets the tools, because the server has said that its list has changed. */
  forget(): void {
    this.known = undefined;
    this.counted = undefined;
  }

  private count(transport: ReplicaTransport): void {
    if (this.counted?.transport !== transport) this.counted = { transport, calls: 0 };
    this.counted.calls += 1;
    // A server object that is shut down while it is asked has no use for its tools.
    if (this.counted.calls === ASK_AFTER) this.ask(this.counted).catch(() => undefined);
  }

  /** Asks the server for its tools. If their list changes meanwhile, the answer does not count. */
  private async ask(counted: CountedCalls): Promise<void> {
    const { transport } = counted;
    const all: ListedTool[] = [];
    for await (const tools of toolPagesOf(transport)) all.push(...tools);
    if (this.counted === counted && !transport.closed) this.know(transport, all);
  }

  private know(transport: ReplicaTransport, tools: ListedTool[]): void {
    this.known = transport;
    this.tools = shared(
      tools.flatMap(({ name, annotations }) => (annotations?.readOnlyHint === true ? [name] : [])),
    );
  }
}

/** The calls of tools that a server object has handled while its tools were not known. */
interface CountedCalls {
  readonly transport: ReplicaTransport;
  calls: number;
}

const NONE: ReadonlySet<unknown> = new Set();
/** The last set. The server objects of a node mostly have the same tools, and share it. */
let last = NONE;

function shared(names: unknown[]): ReadonlySet<unknown> {
  // A faulty list may have a name twice.
  const set = new Set(names);
  if (set.size !== last.size || !names.every((name) => last.has(name))) last = set;
  return last;
}
