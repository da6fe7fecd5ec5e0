/** The attributes of spans and metrics, by the MCP semantic conventions of OpenTelemetry, and those of this library. */
import type { Attributes } from '@opentelemetry/api';
import type { JsonRpcRequest, JsonRpcResponse } from '../protocol/json/jsonrpc.js';

export const ATTRIBUTE = {
  method: 'mcp.method.name',
  session: 'mcp.session.id',
  protocolVersion: 'mcp.protocol.version',
  resource: 'mcp.resource.uri',
  requestId: 'jsonrpc.request.id',
  tool: 'gen_ai.tool.name',
  prompt: 'gen_ai.prompt.name',
  operation: 'gen_ai.operation.name',
  arguments: 'gen_ai.tool.call.arguments',
  result: 'gen_ai.tool.call.result',
  error: 'error.type',
  status: 'rpc.response.status_code',
  transport: 'network.transport',
  protocol: 'network.protocol.name',
  httpVersion: 'network.protocol.version',
  node: 'service.instance.id',
  stream: 'anynode.stream',
  link: 'anynode.link',
  owner: 'anynode.owner',
} as const;

/** How long a text of a client may be in an attribute. */
const MOST_CHARACTERS = 256;
const MOST_PAYLOAD_CHARACTERS = 8192;

/** The methods of MCP. A client may send any text as a method, and each would be a time series of its own. */
const METHODS = new Set([
  ...['completion/complete', 'elicitation/create', 'initialize', 'logging/setLevel', 'ping'],
  ...['prompts/get', 'prompts/list', 'resources/list', 'resources/read', 'resources/subscribe'],
  ...['resources/templates/list', 'resources/unsubscribe', 'roots/list', 'sampling/createMessage'],
  ...['tasks/cancel', 'tasks/get', 'tasks/list', 'tasks/result', 'tools/call', 'tools/list'],
]);

export const OTHER = '_OTHER';

export function bounded(text: string, most = MOST_CHARACTERS): string {
  return text.length <= most ? text : text.slice(0, most);
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? bounded(value) : undefined;
}

/** A message as telemetry describes it. */
export interface Described {
  /** The name of the span. */
  name: string;
  /** Attributes for spans and metrics. */
  common: Attributes;
  /** Attributes for spans only: there may be any number of different values. */
  own: Attributes;
}

export function describe(request: JsonRpcRequest, sessionId: string, payloads = false): Described {
  const { params, id } = request;
  const method = METHODS.has(request.method) ? request.method : OTHER;
  const common: Attributes = {
    [ATTRIBUTE.method]: method,
    [ATTRIBUTE.transport]: 'tcp',
    [ATTRIBUTE.protocol]: 'http',
  };
  const own: Attributes = {
    [ATTRIBUTE.session]: bounded(sessionId),
    [ATTRIBUTE.requestId]: bounded(String(id)),
  };
  if (method === OTHER) own['anynode.method'] = bounded(request.method);
  let target: string | undefined;
  if (method === 'tools/call') {
    target = textOf(params?.name);
    common[ATTRIBUTE.operation] = 'execute_tool';
    if (target !== undefined) common[ATTRIBUTE.tool] = target;
    if (payloads) own[ATTRIBUTE.arguments] = payloadOf(params?.arguments);
  } else if (method === 'prompts/get') {
    target = textOf(params?.name);
    if (target !== undefined) common[ATTRIBUTE.prompt] = target;
  } else {
    const uri = method.startsWith('resources/') ? textOf(params?.uri) : undefined;
    if (uri !== undefined) own[ATTRIBUTE.resource] = uri;
  }
  return { name: target === undefined ? method : `${method} ${target}`, common, own };
}

export function payloadOf(value: unknown): string {
  const text = JSON.stringify(value) as string | undefined;
  return bounded(text ?? '', MOST_PAYLOAD_CHARACTERS);
}

/** What went wrong, as attributes: nothing for a response that is a success. */
export interface Outcome {
  attributes: Attributes;
  /** Why the operation failed, for people. `undefined`: it did not, or nothing more is known. */
  message?: string | undefined;
}

/** `failure`: why there is no response. Without either, the client has cancelled the request. */
export function outcomeOf(response: JsonRpcResponse | undefined, failure?: string): Outcome {
  if (response === undefined || failure !== undefined) {
    return { attributes: { [ATTRIBUTE.error]: failure ?? 'cancelled' } };
  }
  if ('error' in response) {
    const error = membersOf(response.error);
    const code = codeOf(error?.code);
    return {
      attributes: { [ATTRIBUTE.error]: code, [ATTRIBUTE.status]: code },
      message: textOf(error?.message),
    };
  }
  const isError = resultOf(response)?.isError === true;
  return { attributes: isError ? { [ATTRIBUTE.error]: 'tool_error' } : {} };
}

/** Returns the members of a result. A server or a client may answer with a result that is no object. */
export function resultOf(response: JsonRpcResponse): Record<string, unknown> | undefined {
  return 'result' in response ? membersOf(response.result) : undefined;
}

function membersOf(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null
    ? (value as Record<string, unknown>)
    : undefined;
}

/** A server may answer with any number. Only those are told apart that JSON-RPC reserves. */
function codeOf(code: unknown): string {
  const isReserved =
    Number.isInteger(code) && (code as number) >= -32_800 && (code as number) <= -32_000;
  return isReserved ? `${code as number}` : OTHER;
}
