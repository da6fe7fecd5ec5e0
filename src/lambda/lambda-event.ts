type Values = Record<string, string | undefined> | null | undefined;
type Lists = Record<string, string[] | undefined> | null | undefined;

/**
 * What is read of an event: of an HTTP API or a function URL (payload version 2.0), of a REST API (1.0), or of an Application
 * Load Balancer.
 */
export interface LambdaEvent {
  body?: string | null | undefined;
  isBase64Encoded?: boolean | undefined;
  headers?: Values;
  multiValueHeaders?: Lists;
  /** Version 2.0. */
  cookies?: string[] | undefined;
  rawPath?: string | undefined;
  rawQueryString?: string | undefined;
  /** Version 1.0, and the balancer. */
  httpMethod?: string | undefined;
  path?: string | undefined;
  queryStringParameters?: Values;
  multiValueQueryStringParameters?: Lists;
  requestContext?: object | undefined;
}

/** What is read of the context of a call. */
export interface LambdaContext {
  getRemainingTimeInMillis?: (() => number) | undefined;
}

/** The response. All kinds of events take it. */
export interface LambdaResult {
  statusCode: number;
  headers: Record<string, string>;
  /** Only if the event has them: a balancer then reads no others. */
  multiValueHeaders?: Record<string, string[]>;
  body: string;
  isBase64Encoded: boolean;
}

/** What an event says of the request. */
export interface EventRequest {
  method: string;
  /** Path and query. */
  target: string;
  headers: [string, string][];
  body: Buffer | undefined;
  /** The address of the client, as the gateway or the balancer has seen it. */
  clientAddress: string | undefined;
}

/** The parts of `requestContext` that are read. They differ with the kind of event. */
interface RequestContext {
  http?: { method?: string; sourceIp?: string };
  identity?: { sourceIp?: string };
  elb?: object;
}

/** Reads an event. Throws a `TypeError` if it is none of an HTTP request. */
export function readEvent(event: LambdaEvent): EventRequest {
  const context: RequestContext = event.requestContext ?? {};
  const method = context.http?.method ?? event.httpMethod;
  const path = event.rawPath ?? event.path;
  if (method === undefined || path === undefined) {
    throw new TypeError('mcp-anynode: the event of the function is not one of an HTTP request');
  }
  const headers = headersOf(event);
  const query = event.rawQueryString ?? queryOf(event, context.elb !== undefined);
  return {
    method,
    target: query === '' ? path : `${path}?${query}`,
    headers,
    body: bodyOf(event),
    clientAddress:
      context.http?.sourceIp ??
      context.identity?.sourceIp ??
      (context.elb === undefined ? undefined : seenByBalancer(headers)),
  };
}

function headersOf({ headers, multiValueHeaders, cookies = [] }: LambdaEvent): [string, string][] {
  const all = pairsOf(headers, multiValueHeaders);
  return cookies.length === 0 ? all : [...all, ['cookie', cookies.join('; ')]];
}

/** A balancer leaves the query as the client has encoded it. A REST API decodes it. */
function queryOf(event: LambdaEvent, isEncoded: boolean): string {
  const pairs = pairsOf(event.queryStringParameters, event.multiValueQueryStringParameters);
  if (!isEncoded) return new URLSearchParams(pairs).toString();
  return pairs.map(([name, value]) => `${name}=${value}`).join('&');
}

/** A REST API has each name in both, and its last value in `values`. */
function pairsOf(values: Values, lists: Lists): [string, string][] {
  const several = Object.entries(lists ?? {}).flatMap(([name, list = []]) =>
    list.map((value): [string, string] => [name, value]),
  );
  const known = new Set(several.map(([name]) => name));
  const single = Object.entries(values ?? {}).flatMap(([name, value]): [string, string][] =>
    value === undefined || known.has(name) ? [] : [[name, value]],
  );
  return [...several, ...single];
}

function bodyOf({ body, isBase64Encoded = false }: LambdaEvent): Buffer | undefined {
  if (body === undefined || body === null || body === '') return undefined;
  return Buffer.from(body, isBase64Encoded ? 'base64' : 'utf8');
}

/** The balancer appends the address that it has seen to those that the client has sent. */
function seenByBalancer(headers: [string, string][]): string | undefined {
  const forwarded = headers.filter(([name]) => name.toLowerCase() === 'x-forwarded-for');
  const last = forwarded.at(-1)?.[1].split(',').at(-1)?.trim();
  return last === '' ? undefined : last;
}

/** Makes the result from a response whose body has ended. */
export async function resultOf(
  response: globalThis.Response,
  event: LambdaEvent,
): Promise<LambdaResult> {
  const bytes = Buffer.from(await response.arrayBuffer());
  // The gateway writes these by itself, for the body that it sends.
  const left = [...response.headers].filter(([name]) => !OF_CONNECTION.has(name));
  const isText = /^(text\/|application\/([\w.-]+\+)?json\b)/i.test(
    response.headers.get('content-type') ?? 'text/plain',
  );
  return {
    statusCode: response.status,
    headers: Object.fromEntries(left),
    ...(event.multiValueHeaders && {
      multiValueHeaders: Object.fromEntries(left.map(([name, value]) => [name, [value]])),
    }),
    body: bytes.toString(isText ? 'utf8' : 'base64'),
    isBase64Encoded: !isText,
  };
}

const OF_CONNECTION = new Set(['connection', 'content-length', 'keep-alive', 'transfer-encoding']);
