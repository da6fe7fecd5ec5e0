import { Redis } from 'ioredis';
import { describe, expect, it } from 'vitest';
import { memoryBackplane } from '../../src/index.js';
import type { AnynodeOptions } from '../../src/options/anynode-options.js';
import { resolveOptions } from '../../src/options/options.js';

const server = () => ({ connect: () => Promise.resolve(), close: () => Promise.resolve() });

/** Options of any type, as JavaScript code may pass them. */
function given(options: object): AnynodeOptions {
  return { server, ...options };
}

it('uses the default of each option if only a server is given', () => {
  const options = resolveOptions({ server });
  expect(options).toEqual({
    server,
    intercepted: undefined,
    upstreamTimeoutMs: 10_000,
    upstreamMessageBytes: 33_554_432,
    backplane: expect.objectContaining({ join: expect.any(Function) as unknown }) as unknown,
    responseMode: 'sse',
    standaloneStream: 'takeover',
    affinity: 'any',
    recovery: 'error',
    earlyReads: true,
    sessionIdGenerator: expect.any(Function) as unknown,
    audit: undefined,
    principal: undefined,
    allowedOrigins: undefined,
    allowedHosts: undefined,
    nodeHeader: true,
    sessionTtlMs: 86_400_000,
    pendingTtlMs: 300_000,
    retention: { maxEvents: 10_000, maxAgeMs: 3_600_000, maxBytes: 67_108_864 },
    replicaIdleMs: 300_000,
    maxReplicas: 10_000,
    leaseMs: 10_000,
    commandTimeoutMs: 2_000,
    keepAliveMs: 15_000,
    retryMs: 1_000,
    maxStreamAgeMs: 3_600_000,
    primingEvents: true,
    maxBodyBytes: 4_194_304,
    maxBufferedBytes: 1_048_576,
    limits: {
      sessionsPerPrincipal: 10_000,
      pendingPerPrincipal: 1_000,
      anonymousSessions: 100_000,
      anonymousPending: 10_000,
      requestsPerSession: 200,
      streamsPerSession: 256,
      subscriptionsPerSession: 1_000,
      subscriptionBytesPerSession: 262_144,
      batchSize: 100,
      messageBytes: 4_194_304,
      jsonDepth: 100,
      jsonValues: 100_000,
      messageValues: 5_000,
      handshakeBytes: 65_536,
      bodyBytesInFlight: 67_108_864,
      bodyMs: 60_000,
      stalledMs: 60_000,
    },
    logger: console,
  });
  expect(options.sessionIdGenerator()).toMatch(/^[0-9a-f-]{36}$/);
  expect(options.sessionIdGenerator()).not.toBe(options.sessionIdGenerator());
});

it('uses the default of an option that is undefined', () => {
  const all: Record<keyof AnynodeOptions, unknown> = {
    server,
    handler: undefined,
    upstream: undefined,
    upstreamTimeoutMs: undefined,
    upstreamCheck: undefined,
    upstreamQuery: undefined,
    upstreamMessageBytes: undefined,
    modern: undefined,
    redis: undefined,
    backplane: undefined,
    prefix: undefined,
    responseMode: undefined,
    affinity: undefined,
    standaloneStream: undefined,
    recovery: undefined,
    earlyReads: undefined,
    sessionIdGenerator: undefined,
    principal: undefined,
    allowedOrigins: undefined,
    allowedHosts: undefined,
    nodeHeader: undefined,
    sessionTtlMs: undefined,
    retention: undefined,
    replicaIdleMs: undefined,
    maxReplicas: undefined,
    leaseMs: undefined,
    commandTimeoutMs: undefined,
    keepAliveMs: undefined,
    retryMs: undefined,
    maxStreamAgeMs: undefined,
    primingEvents: undefined,
    maxBodyBytes: undefined,
    maxBufferedBytes: undefined,
    limits: undefined,
    tasks: undefined,
    codec: undefined,
    redact: undefined,
    audit: undefined,
    telemetry: undefined,
    logger: undefined,
  };
  const plain = resolveOptions({ server });
  const { principal, logger, retention } = resolveOptions(given(all));
  expect({ principal, logger, retention }).toEqual({
    principal: plain.principal,
    logger: plain.logger,
    retention: plain.retention,
  });
});

it('uses the value of each option that is given', () => {
  const backplane = memoryBackplane();
  const values = {
    backplane,
    responseMode: 'json' as const,
    standaloneStream: 'reject' as const,
    recovery: 'rerun-idempotent' as const,
    allowedOrigins: ['https://example.com'],
    allowedHosts: [],
    nodeHeader: false,
    keepAliveMs: 0,
    retryMs: 0,
    maxStreamAgeMs: 0,
    maxBufferedBytes: 1,
  };
  expect(resolveOptions({ server, ...values })).toMatchObject(values);
  expect(resolveOptions({ server, retention: { maxEvents: 5 } }).retention).toEqual({
    maxEvents: 5,
    maxAgeMs: 3_600_000,
    maxBytes: 67_108_864,
  });
  const limits = { batchSize: 7, stalledMs: 0 };
  expect(resolveOptions({ server, limits, maxBodyBytes: 99 }).limits).toMatchObject({
    ...limits,
    messageBytes: 99,
    jsonDepth: 100,
  });
});

it('reads `audit` with its defaults, and takes each kind of sink', () => {
  const limits = {
    whenFull: 'refuse',
    maxSessionBytes: 16_777_216,
    maxTotalBytes: 268_435_456,
  };
  const without = { limits, sink: undefined, sealWith: undefined };
  expect(resolveOptions({ server, audit: {} }).audit).toEqual(without);
  const codec = { encode: (text: string) => text, decode: (text: string) => text };
  expect(resolveOptions({ server, codec, audit: {} }).audit).toEqual(without);
  expect(resolveOptions({ server, codec, audit: { encrypt: true } }).audit?.sealWith).toBe(codec);
  const write = () => Promise.resolve();
  for (const sink of ['audit', './a b', 'C:\\audit', 'postgres://u:p@h/db', 'postgresql:///db']) {
    expect(resolveOptions({ server, audit: { sink } }).audit?.sink).toBe(sink);
  }
  for (const sink of [write, { write }]) {
    expect(resolveOptions({ server, audit: { sink } }).audit?.sink).toBe(sink);
  }
});

it('does not repeat a password that is in a wrong sink', () => {
  const sink = 'mysql://root:hunter2@host/db';
  expect(() => resolveOptions({ server, audit: { sink } })).toThrow(/^((?!hunter2).)*$/);
});

it('limits the lifetime of a session that is not confirmed to that of other sessions', () => {
  expect(resolveOptions({ server, sessionTtlMs: 1000 }).pendingTtlMs).toBe(1000);
});

it('accepts a URL or a client as `redis`, and opens no connection', () => {
  const client = new Redis({ lazyConnect: true });
  for (const redis of ['redis://localhost:6379', 'rediss://user:word@example.com/2', client]) {
    expect(resolveOptions({ server, redis }).backplane).toBeDefined();
  }
  expect(client.status).toBe('wait');
});

describe('rejects wrong options at construction, and says how to mend them', () => {
  const redis = 'redis://localhost:6379';
  const times = [
    'sessionTtlMs',
    'replicaIdleMs',
    'maxReplicas',
    'leaseMs',
    'commandTimeoutMs',
    'maxBodyBytes',
    'maxBufferedBytes',
  ];
  const timesOrNever = ['keepAliveMs', 'retryMs', 'maxStreamAgeMs'];

  it.each<[object, string]>([
    [
      { server: undefined },
      '`server` has to be a function that returns an MCP server; or give `handler` or `upstream`',
    ],
    [
      { server: {} },
      '`server` has to be a function that returns an MCP server; or give `handler` or `upstream`',
    ],
    [{ handler: () => undefined }, 'give one of `server`, `handler` and `upstream`, not more'],
    [
      { server: undefined, handler: 'http://localhost' },
      '`handler` has to be an Express handler, router or app',
    ],
    ...['localhost:9000', 'ftp://localhost', 'redis://x', '', 7].map(
      (upstream): [object, string] => [
        { server: undefined, upstream },
        '`upstream` has to be a URL such as http://127.0.0.1:9000/mcp, with http: or https:',
      ],
    ),
    [{ sessionTtl: 5 }, 'unknown option `sessionTtl`'],
    [{ ttl: 5, keepAlive: 5 }, 'unknown option `ttl`, `keepAlive`'],
    ...['localhost:6379', 'http://localhost', '', 6379, {}, null].map((value): [object, string] => [
      { redis: value },
      '`redis` has to be a URL such as redis://localhost:6379, or an ioredis `Redis` or `Cluster`',
    ]),
    [{ redis, backplane: memoryBackplane() }, 'give either `redis` or `backplane`, not both'],
    ...[redis, {}, null, memoryBackplane].map((value): [object, string] => [
      { backplane: value },
      '`backplane` has to be what `memoryBackplane()` or `redisBackplane()` returns',
    ]),
    [{ affinity: 'one' }, "`affinity` is \"one\", but can only be 'any' or 'owner'"],
    [
      { recovery: 'rerun' },
      "`recovery` is \"rerun\", but can only be 'error' or 'rerun-idempotent'",
    ],
    [{ responseMode: 'JSON' }, "`responseMode` is \"JSON\", but can only be 'sse' or 'json'"],
    [
      { standaloneStream: true },
      "`standaloneStream` is true, but can only be 'takeover' or 'reject'",
    ],
    ...['', 'a b', '{a}', 'a}'].map((prefix): [object, string] => [
      { redis, prefix },
      '`prefix` must not be empty or contain spaces or braces',
    ]),
    [{ sessionIdGenerator: 'uuid' }, '`sessionIdGenerator` has to be a function'],
    [{ principal: 'sub' }, '`principal` has to be a function'],
    [{ allowedOrigins: 'https://example.com' }, '`allowedOrigins` has to be a list of strings'],
    [{ allowedHosts: 'example.com' }, '`allowedHosts` has to be a list of strings'],
    ...[...times, ...timesOrNever].flatMap((name): [object, string][] =>
      [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '5'].map((value) => [
        { [name]: value },
        `\`${name}\` has to be a whole number of at least 0, and is ${value}`,
      ]),
    ),
    ...times.map((name): [object, string] => [{ [name]: 0 }, `\`${name}\` must be more than 0`]),
    [{ retention: { maxEvents: 0 } }, '`retention.maxEvents` must be more than 0'],
    [{ retention: { maxBytes: 0 } }, '`retention.maxBytes` must be more than 0'],
    [{ retention: { maxEvent: 5 } }, 'unknown option `retention.maxEvent`'],
    [{ logger: false }, '`logger` has to have the functions `warn` and `error`'],
    [
      { logger: { warn: () => undefined } },
      '`logger` has to have the functions `warn` and `error`',
    ],
    ...['', ' ', 7, {}, { write: 7 }, 'mysql://host/db', 'postgres:/host/db'].map(
      (sink): [object, string] => [
        { audit: { sink } },
        '`audit.sink` has to be the path of a directory, a URL such as postgres://user@host/database, ' +
          'an object with `write`, or a function that takes records',
      ],
    ),
    ...['postgres://ada:a/b@host/db', 'postgres://host:port/db'].map((sink): [object, string] => [
      { audit: { sink } },
      '`audit.sink` is no valid URL of PostgreSQL; in a user or a password, write %2F for /, %3A for :, %40 for @ and %23 for #',
    ]),
    [{ audit: true }, '`audit` has to be an object such as { sink: "/var/lib/audit" }'],
    [{ audit: { sinks: '/x' } }, 'unknown option `audit.sinks`'],
    [
      { audit: { whenFull: 'wait' } },
      "`audit.whenFull` is \"wait\", but can only be 'refuse' or 'drop'",
    ],
    [{ audit: { maxSessionBytes: 0 } }, '`audit.maxSessionBytes` must be more than 0'],
    [{ audit: { maxTotalBytes: 0 } }, '`audit.maxTotalBytes` must be more than 0'],
    [
      { audit: { encrypt: true } },
      '`audit.encrypt` needs the option `codec`, such as what `aesGcmCodec()` returns',
    ],
    [{ nodeHeader: 'no' }, "`nodeHeader` is \"no\", but can only be 'true' or 'false'"],
    [{ limits: { depth: 5 } }, 'unknown option `limits.depth`'],
    [
      { limits: { jsonDepth: 0 } },
      '`limits.jsonDepth` has to be a whole number of at least 1, and is 0',
    ],
    [
      { limits: { stalledMs: -1 } },
      '`limits.stalledMs` has to be a whole number of at least 0, and is -1',
    ],
    [
      { limits: { bodyBytesInFlight: 8_388_607 } },
      '`limits.bodyBytesInFlight` must not be less than twice `maxBodyBytes`',
    ],
    [{ limits: { batchSize: 1001 } }, '`limits.batchSize` must not be more than 1000'],
    [
      { upstreamMessageBytes: 2 ** 28 + 1 },
      '`upstreamMessageBytes` must not be more than 268435456',
    ],
    [{ limits: { jsonDepth: 1001 } }, '`limits.jsonDepth` must not be more than 1000'],
    [
      { retention: { maxAgeMs: -1 } },
      '`retention.maxAgeMs` has to be a whole number of at least 0, and is -1',
    ],
  ])('%j', (options, message) => {
    expect(() => resolveOptions(given(options))).toThrow(new TypeError(`mcp-anynode: ${message}`));
  });
});
