import type { Cluster, Redis } from 'ioredis';
import { isReleased, STANDALONE } from '../backplane/backplane.js';
import { decodedObservation } from '../backplane/encoded/decoded-observation.js';
import type { Observation, StreamState } from '../backplane/observation.js';
import type { PayloadCodec } from '../backplane/encoded/payloads.js';
import { Payloads } from '../backplane/encoded/payloads.js';
import { RedisObservation } from '../backplane/redis/redis-observation.js';
import { checkCodec, checkPrefix, checkRedis } from '../options/backplane-option.js';
import type { Clock } from '../protocol/timing/clock.js';
import { systemClock } from '../protocol/timing/clock.js';
import { directory } from './session-directory.js';
import { infoOf } from '../replica/session-info.js';
import { unheld } from '../protocol/unheld.js';
import { findSessions } from './find-sessions.js';
import { runningRequests } from './running-requests.js';
import { Survey } from './survey.js';
import { nodesOf } from './node-infos.js';
import type { NodeInfo, Observer, SessionDetails, StreamInfo } from './observer.js';

/** Says which cluster `observe()` looks at, and how. */
export interface ObserveOptions {
  /** The Redis of the nodes: a URL, or a client whose settings are copied. The client is neither used nor closed. */
  redis: string | Redis | Cluster;
  /** The `prefix` of the nodes. Default `mcp`. */
  prefix?: string | undefined;
  /** How long a call may wait for Redis. Default 2 seconds. */
  commandTimeoutMs?: number | undefined;
  /**
   * The `codec` of the nodes. Only `decode` is called. Texts that it cannot decode are shown as `unreadable`. Without a
   * codec, so are all encoded texts. Default: none.
   */
  codec?: PayloadCodec | undefined;
}

/**
 * Looks at the nodes and sessions of a cluster without being one of its nodes. It holds no lease, subscribes to nothing and
 * serves no client. It writes only if it is told to delete a session. It is made for command lines and dashboards.
 *
 * Returns at once, and connects in the background. Throws a `TypeError` for options that make no sense.
 */
export function observe({
  redis,
  prefix = 'mcp',
  commandTimeoutMs = 2000,
  codec,
}: ObserveOptions): Observer {
  checkRedis(redis);
  checkPrefix(prefix);
  if (!Number.isSafeInteger(commandTimeoutMs) || commandTimeoutMs < 1) {
    throw new TypeError('mcp-anynode: `commandTimeoutMs` has to be a whole number of at least 1');
  }
  checkCodec(codec);
  const clock = systemClock;
  // The nodes log what is wrong with the server.
  const logger = { warn: () => undefined };
  const stored = new RedisObservation({ redis, prefix, clock, commandTimeoutMs, logger });
  const observation =
    codec === undefined
      ? stored
      : decodedObservation(stored, new Payloads(codec, { clock, logger }));
  return observerOf(observation, clock);
}

function observerOf(observation: Observation, clock: Clock): Observer {
  const survey = new Survey(observation, clock);
  return {
    ready: () => unheld(observation.now().then(() => undefined)),
    nodes: () => unheld(nodesSeenBy(observation)),
    sessions: directory({ backplane: observation, clock, redact: undefined }, () => undefined),
    findSessions: (query = {}) => unheld(findSessions(observation, query)),
    details: (id) => unheld(detailsOf(observation, id)),
    stats: () => unheld(survey.next()),
    redis: () => unheld(observation.servers()),
    close: () => observation.close(),
  };
}

async function nodesSeenBy(observation: Observation): Promise<NodeInfo[]> {
  const found = new Set<string>();
  let from: string | undefined;
  do {
    const step = await observation.sweep(from);
    for (const id of step.nodeIds) found.add(id);
    from = step.next;
  } while (from !== undefined);
  return nodesOf(await observation.leases([...found]));
}

/** One call asks for the leases of no more nodes than this. */
const MOST_NODES = 100;

async function detailsOf(
  observation: Observation,
  id: string,
): Promise<SessionDetails | undefined> {
  const [record, [table], lifetime] = await Promise.all([
    observation.load(id),
    observation.tables([id]),
    observation.lifetime(id),
  ]);
  if (record === undefined || lifetime === undefined) return undefined;
  const streams = (table?.streams ?? []).map(streamOf);
  const { leftMs, events, bytes, oldest, newest } = lifetime;
  const info = infoOf(record);
  const replicas = table?.replicas ?? [];
  const held = streams.flatMap(({ holder, executor }) => [holder?.node, executor]);
  const nodes = new Set([info.owner, ...replicas, ...held].filter((node) => node !== undefined));
  const asked = [...nodes].slice(0, MOST_NODES);
  const [requests, leases] = await Promise.all([
    runningRequests(observation, id, table),
    observation.leases(asked),
  ]);
  const alive = new Set(leases.map(({ nodeId }) => nodeId));
  return {
    ...{ info, leftMs, streams, requests, replicas },
    deadNodes: asked.filter((node) => !alive.has(node)),
    log: { events, bytes, oldest, newest },
  };
}

function streamOf({ name, last, holder, executor, begun }: StreamState): StreamInfo {
  return {
    name,
    kind: name === STANDALONE ? 'standalone' : 'request',
    messages: last.n,
    holder: holder && { node: holder.nodeId, connection: holder.token },
    executor: executor === undefined || isReleased(executor) ? undefined : executor,
    begun,
  };
}
