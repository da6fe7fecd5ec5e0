import { isObject, type JsonRpcMessage } from './jsonrpc.js';

/** Whether a value that may be left out is sound. */
type Check = (value: unknown) => boolean;

const isBoolean: Check = (value) => typeof value === 'boolean';
const isString: Check = (value) => typeof value === 'string';
/** An object or a list. */
const isComposite: Check = (value) => typeof value === 'object' && value !== null;
const isTheme: Check = (value) => value === 'light' || value === 'dark';

const ICON = {
  src: isString,
  mimeType: optional(isString),
  sizes: optional(listOf(isString)),
  theme: optional(isTheme),
};

const CLIENT_INFO = {
  name: isString,
  version: isString,
  title: optional(isString),
  icons: optional(listOf(shapedLike(ICON))),
  websiteUrl: optional(isString),
  description: optional(isString),
};

const TASK_REQUESTS = {
  sampling: optional(shapedLike({ createMessage: optional(isComposite) })),
  elicitation: optional(shapedLike({ create: optional(isComposite) })),
};

const TASKS = {
  list: optional(isComposite),
  cancel: optional(isComposite),
  requests: optional(shapedLike(TASK_REQUESTS)),
};

const ELICITATION = {
  form: optional(shapedLike({ applyDefaults: optional(isBoolean) })),
  url: optional(isComposite),
};

const CAPABILITIES = {
  experimental: optional(recordOf(isComposite)),
  sampling: optional(shapedLike({ context: optional(isComposite), tools: optional(isComposite) })),
  elicitation: optional(shapedLike(ELICITATION)),
  roots: optional(shapedLike({ listChanged: optional(isBoolean) })),
  tasks: optional(shapedLike(TASKS)),
  extensions: optional(recordOf(isComposite)),
};

const isInitializeParams = shapedLike({
  protocolVersion: isString,
  capabilities: shapedLike(CAPABILITIES),
  clientInfo: shapedLike(CLIENT_INFO),
});

/**
 * Returns true if a message asks to initialize a session. It accepts and refuses exactly what the SDK's
 * `isInitializeRequest` accepts and refuses, and a test compares the two. A server refuses other messages of this method
 * by itself.
 */
export function isInitializeRequest(message: JsonRpcMessage): boolean {
  return (
    'method' in message && message.method === 'initialize' && isInitializeParams(message.params)
  );
}

function optional(check: Check): Check {
  return (value) => value === undefined || check(value);
}

function listOf(check: Check): Check {
  return (value) => Array.isArray(value) && value.every(check);
}

function recordOf(check: Check): Check {
  return (value) => isObject(value) && Object.values(value).every(check);
}

/** Other fields than those of `shape` may have any value. */
function shapedLike(shape: Record<string, Check>): Check {
  const fields = Object.entries(shape);
  return (value) => isObject(value) && fields.every(([name, check]) => check(value[name]));
}
