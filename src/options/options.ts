import { randomUUID } from 'node:crypto';
import type { RequestHandler } from 'express';
import type { Backplane } from '../backplane/backplane.js';
import type { AnynodeOptions } from './anynode-options.js';
import type { Audit } from './audit-option.js';
import { auditOf } from './audit-option.js';
import { backplaneOf } from './backplane-option.js';
import type { Limits } from './limits.js';
import type { Telemetry } from './node-telemetry.js';
import type { Logger } from './public-types.js';
import { resolveLimits } from './limits.js';
import type { Reader } from './option-readers.js';
import {
  asGiven,
  callable,
  oneOf,
  positive,
  readOptions,
  strings,
  wholeNumber,
  withFunctions,
} from './option-readers.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const MIB = 1024 * 1024;

/** Options without a default. */
type Optional =
  | 'server'
  | 'handler'
  | 'upstream'
  | 'modern'
  | 'principal'
  | 'redis'
  | 'backplane'
  | 'prefix'
  | 'allowedOrigins'
  | 'allowedHosts'
  | 'limits'
  | 'tasks'
  | 'codec'
  | 'redact'
  | 'audit'
  | 'telemetry';

type Retention = Required<Exclude<AnynodeOptions['retention'], undefined>>;

/** The type of each option after it was read. */
type OptionValues = { retention: Retention } & {
  [Name in Exclude<keyof AnynodeOptions, 'retention'>]-?: Name extends Optional
    ? AnynodeOptions[Name]
    : Exclude<AnynodeOptions[Name], undefined>;
};

const RETENTION = {
  maxEvents: positive(10_000),
  maxAgeMs: positive(HOUR),
  maxBytes: positive(64 * MIB),
};

/** The reader of every option, which knows its default. */
export const OPTIONS: { [Name in keyof OptionValues]: Reader<OptionValues[Name]> } = {
  server: asGiven(),
  handler: asGiven(),
  upstream: asGiven(),
  upstreamTimeoutMs: positive(10 * SECOND),
  upstreamCheck: readUpstreamCheck,
  upstreamQuery: oneOf(true, false),
  // V8 cannot make a string of twice as many characters as this maximum.
  upstreamMessageBytes: positive(32 * MIB, 256 * MIB),
  modern: callable(),
  redis: asGiven(),
  backplane: asGiven(),
  prefix: asGiven(),
  responseMode: oneOf('sse', 'json'),
  affinity: oneOf('any', 'owner'),
  standaloneStream: oneOf('takeover', 'reject'),
  recovery: oneOf('error', 'rerun-idempotent'),
  earlyReads: oneOf<boolean>(true, false),
  sessionIdGenerator: callable(() => randomUUID()),
  principal: callable(),
  allowedOrigins: strings,
  allowedHosts: strings,
  nodeHeader: oneOf<boolean>(true, false),
  sessionTtlMs: positive(24 * HOUR),
  retention: (value) => readOptions(RETENTION, value ?? {}, 'retention.'),
  replicaIdleMs: positive(5 * MINUTE),
  maxReplicas: positive(10_000),
  leaseMs: positive(10 * SECOND),
  commandTimeoutMs: positive(2 * SECOND),
  keepAliveMs: wholeNumber(15 * SECOND),
  retryMs: wholeNumber(SECOND),
  maxStreamAgeMs: wholeNumber(HOUR),
  primingEvents: oneOf<boolean>(true, false),
  maxBodyBytes: positive(4 * MIB),
  maxBufferedBytes: positive(MIB),
  limits: asGiven(),
  tasks: asGiven(),
  codec: asGiven(),
  redact: callable(),
  audit: asGiven(),
  telemetry: readTelemetry,
  logger: withFunctions<Logger>(console, ['warn', 'error']),
};

/** Options that `resolveOptions` replaces with what it makes of them. */
type Used =
  | 'handler'
  | 'upstream'
  | 'upstreamCheck'
  | 'upstreamQuery'
  | 'redis'
  | 'prefix'
  | 'codec'
  | 'audit'
  | 'tasks';

/** The server behind. For `check` and `query` see the options `upstreamCheck` and `upstreamQuery`. */
export type Intercepted =
  { handler: RequestHandler } | { upstream: URL; check?: boolean | string; query?: boolean };

/** The options with their defaults, and with the objects that were made of them. */
export interface Options extends Omit<OptionValues, Used> {
  /** The server of `handler` or `upstream`. It is `undefined` if `server` is given. */
  intercepted: Intercepted | undefined;
  backplane: Backplane;
  audit: Audit | undefined;
  limits: Limits;
  /** How long a session lives whose client has sent neither `initialized` nor a request. */
  pendingTtlMs: number;
}

/** Fills in the defaults. Throws a `TypeError` for a wrong option, which says what is allowed. */
export function resolveOptions(given: AnynodeOptions): Options {
  const read = readOptions(OPTIONS, given);
  warnOfMemory(read);
  const {
    handler,
    upstream,
    upstreamCheck,
    upstreamQuery,
    redis,
    prefix,
    codec,
    audit,
    tasks,
    ...options
  } = read;
  const { sessionTtlMs, maxBodyBytes } = options;
  // If the server object of a session with an owner is discarded, the state that its server keeps in memory is lost.
  const keepsState =
    options.affinity === 'owner' && (given.replicaIdleMs ?? undefined) === undefined;
  return {
    ...options,
    intercepted: interceptedOf(read),
    backplane: backplaneOf(read),
    audit: auditOf(audit, codec),
    limits: resolveLimits(options.limits, maxBodyBytes),
    replicaIdleMs: keepsState ? sessionTtlMs : options.replicaIdleMs,
    pendingTtlMs: Math.min(5 * MINUTE, sessionTtlMs),
  };
}

/**
 * Warns if sessions are kept in memory in production. If the variable in `redis: process.env.REDIS_URL` is missing, all seems
 * well until there is a second node or a restart.
 */
function warnOfMemory({ redis, backplane, logger }: OptionValues): void {
  if (redis !== undefined || backplane !== undefined || process.env.NODE_ENV !== 'production')
    return;
  logger.warn(
    'mcp-anynode: sessions are kept in the memory of this process, although NODE_ENV is production: ' +
      'give `redis`, or `backplane: memoryBackplane()` if it is meant',
  );
}

/** Returns the server that is reached over HTTP, or `undefined` if `server` builds server objects. */
function interceptedOf({
  server,
  handler,
  upstream,
  upstreamCheck: check,
  upstreamQuery: query,
}: OptionValues): Intercepted | undefined {
  if ([server, handler, upstream].filter((way) => way !== undefined).length > 1) {
    throw new TypeError('mcp-anynode: give one of `server`, `handler` and `upstream`, not more');
  }
  if (upstream !== undefined) return { upstream: urlOf(upstream), check, query };
  if (handler !== undefined) {
    if (typeof handler === 'function') return { handler };
    throw new TypeError('mcp-anynode: `handler` has to be an Express handler, router or app');
  }
  if (typeof server === 'function') return undefined;
  throw new TypeError(
    'mcp-anynode: `server` has to be a function that returns an MCP server; or give `handler` or `upstream`',
  );
}

function readTelemetry(value: unknown): Telemetry | undefined {
  const given = value as Partial<Telemetry> | undefined;
  if (given === undefined || typeof given.observe === 'function') return given as Telemetry;
  throw new TypeError(
    'mcp-anynode: `telemetry` has to be what `telemetry()` of mcp-anynode/telemetry returns',
  );
}

function readUpstreamCheck(value: unknown): boolean | string {
  if (value === undefined) return true;
  if (typeof value === 'boolean') return value;
  if (typeof value === 'string' && /^\/[!-~]*$/.test(value)) return value;
  throw new TypeError(
    'mcp-anynode: `upstreamCheck` has to be true, false, or a path of the server such as /health',
  );
}

function urlOf(upstream: string | URL): URL {
  const url = URL.canParse(String(upstream)) ? new URL(upstream) : undefined;
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return url;
  // The error does not repeat the URL, which may have a password in it.
  throw new TypeError(
    'mcp-anynode: `upstream` has to be a URL such as http://127.0.0.1:9000/mcp, with http: or https:',
  );
}
