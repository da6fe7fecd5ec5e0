/** What one client may take. `docs/reference/limits.md` says what a client gets that goes beyond a limit. */
export interface Limits {
  /** How many sessions one caller with a name may have (see `principal`). Default 10,000. */
  sessionsPerPrincipal: number;
  /** How many of these may have sent neither `initialized` nor a request. Default 1,000. */
  pendingPerPrincipal: number;
  /** How many sessions all callers without a name may have together. Default 100,000. */
  anonymousSessions: number;
  /** How many of these may have sent neither `initialized` nor a request. Default 10,000. */
  anonymousPending: number;
  /** How many requests of one session may run at the same time, on all nodes together. Default 200. */
  requestsPerSession: number;
  /**
   * How many connections of one session to one node may wait for messages: GETs, and POSTs with requests. Default
   * 256.
   */
  streamsPerSession: number;
  /** How many resources one session may be subscribed to. Default 1,000. */
  subscriptionsPerSession: number;
  /** How many bytes the URIs of the resources to which one session is subscribed may have together. Default 256 KiB. */
  subscriptionBytesPerSession: number;
  /** How many messages one POST may have. The maximum is 1,000. Default 100, as in the SDK. */
  batchSize: number;
  /** How many bytes one message of a client may have. Default `maxBodyBytes`. */
  messageBytes: number;
  /** How deep objects and lists may be nested in a message of a client. The maximum is 1,000. Default 100. */
  jsonDepth: number;
  /**
   * How many values one body may have: members of objects, items of lists, and the objects and lists themselves.
   * Default 100,000.
   */
  jsonValues: number;
  /**
   * How many values one body may have outside of the arguments of `tools/call`; the SDK looks at each of them.
   * Default 5,000.
   */
  messageValues: number;
  /**
   * How many bytes a request body may have if the request has no session id, or if the body has `initialize` in it. Default
   * 64 KiB.
   */
  handshakeBytes: number;
  /**
   * How many bytes of request bodies a node may hold that it has begun to read and has not stored yet. One caller may take
   * half of that. The minimum is twice `maxBodyBytes`. Default 64 MiB, or four times `maxBodyBytes` if that is more.
   */
  bodyBytesInFlight: number;
  /**
   * How many milliseconds a client may take to send a body. `0`: as long as the HTTP server allows. Default 60,000.
   */
  bodyMs: number;
  /**
   * How many milliseconds a client may take none of the bytes that wait for it. After that, its connection is ended. `0`:
   * never. Default 60,000.
   */
  stalledMs: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;

const DEFAULTS: Omit<Limits, 'messageBytes' | 'bodyBytesInFlight'> = {
  sessionsPerPrincipal: 10_000,
  pendingPerPrincipal: 1_000,
  anonymousSessions: 100_000,
  anonymousPending: 10_000,
  requestsPerSession: 200,
  streamsPerSession: 256,
  subscriptionsPerSession: 1_000,
  subscriptionBytesPerSession: 256 * KIB,
  batchSize: 100,
  jsonDepth: 100,
  jsonValues: 100_000,
  messageValues: 5_000,
  handshakeBytes: 64 * KIB,
  bodyMs: 60_000,
  stalledMs: 60_000,
};

/** The limits in milliseconds, for which `0` means that there is no limit. */
const MAY_BE_ZERO: ReadonlySet<string> = new Set<keyof Limits>(['bodyMs', 'stalledMs']);

/** A script may not have more results on its stack than this, and each request of a batch can be one. */
const MOST_IN_BATCH = 1_000;
/** A message with deeper nesting could overflow the stack when it is written as JSON again. */
const DEEPEST = 1_000;

/** Fills in the defaults. Throws a `TypeError` for an unknown limit or a wrong value. */
export function resolveLimits(
  given: { [Name in keyof Limits]?: Limits[Name] | undefined } | undefined,
  maxBodyBytes: number,
): Limits {
  const bodyBytesInFlight = Math.max(64 * MIB, 4 * maxBodyBytes);
  const defaults: Limits = { ...DEFAULTS, messageBytes: maxBodyBytes, bodyBytesInFlight };
  const limits = { ...defaults };
  for (const [name, value] of Object.entries<unknown>(given ?? {})) {
    if (!Object.hasOwn(defaults, name)) {
      throw new TypeError(`mcp-anynode: unknown option \`limits.${name}\``);
    }
    if (value === undefined) continue;
    const least = MAY_BE_ZERO.has(name) ? 0 : 1;
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < least) {
      throw new TypeError(
        `mcp-anynode: \`limits.${name}\` has to be a whole number of at least ${least}, and is ${JSON.stringify(value)}`,
      );
    }
    limits[name as keyof Limits] = value;
  }
  atMost(limits, 'batchSize', MOST_IN_BATCH);
  atMost(limits, 'jsonDepth', DEEPEST);
  if (limits.bodyBytesInFlight < 2 * maxBodyBytes) {
    throw new TypeError(
      'mcp-anynode: `limits.bodyBytesInFlight` must not be less than twice `maxBodyBytes`',
    );
  }
  return limits;
}

function atMost(limits: Limits, name: keyof Limits, most: number): void {
  if (limits[name] <= most) return;
  throw new TypeError(`mcp-anynode: \`limits.${name}\` must not be more than ${most}`);
}
