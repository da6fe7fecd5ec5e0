/** Finds sessions for operators: filtered, sorted, and a page at a time. */
import type { SessionRecord } from '../backplane/backplane.js';
import type { Observation, StreamTable } from '../backplane/observation.js';
import type { SessionInfo } from '../options/public-types.js';
import { parseStored } from '../protocol/json/parse-stored.js';
import { infoOf } from '../replica/session-info.js';
import type { SessionPage, SessionQuery, SessionSummary } from './observer.js';

/** How many records one step reads. Redis needs about a millisecond for that. */
const STEP = 200;
const MOST_ON_PAGE = 1000;

type SortKey = NonNullable<SessionQuery['sort']>;
/** The value by which a session is sorted, and its id. */
type Place = [value: string | number, id: string];

const VALUES: Record<SortKey, (info: SessionInfo) => string | number> = {
  id: ({ id }) => id,
  client: (info) => clientTextOf(info),
  principal: (info) => principalTextOf(info),
  protocol: ({ protocolVersion }) => protocolVersion,
  // The latest ones and those with most errors come first.
  created: ({ createdAt }) => -createdAt,
  used: ({ lastSeenAt }) => -lastSeenAt,
  errors: ({ errors }) => -errors,
};

interface Match {
  place: Place;
  info: SessionInfo;
  /** The streams of the session, if the query had to look at them. */
  table: StreamTable | undefined;
}

/** See {@link Observer.findSessions}. Throws a `TypeError` for a query that makes no sense. */
export function findSessions(observation: Observation, query: SessionQuery): Promise<SessionPage> {
  checkQuery(query);
  return search(observation, query);
}

async function search(observation: Observation, query: SessionQuery): Promise<SessionPage> {
  const { sort = 'id', reverse = false, limit = 100, after, signal } = query;
  const start = after === undefined ? undefined : placeOf(after);
  const [now, listed] = await Promise.all([observation.now(), observation.listed()]);
  const valueOf = VALUES[sort];
  const compare = (a: Place, b: Place): number => (reverse ? -1 : 1) * comparePlaces(a, b);
  // In the order of the index, the look can begin at the cursor and end with a full page.
  const isIndexOrder = sort === 'id' && !reverse;
  const found: Match[] = [];
  let matched = 0;
  let isStopped = false;
  for await (const ids of idsOf(
    observation,
    query.idPrefix,
    isIndexOrder ? start?.[1] : undefined,
  )) {
    signal?.throwIfAborted();
    for (const { info, table } of await matchesOf(observation, ids, query, now)) {
      matched += 1;
      const place: Place = [valueOf(info), info.id];
      if (start === undefined || compare(place, start) > 0) found.push({ place, info, table });
    }
    // One match more than the page shows that there is a next page.
    if (isIndexOrder && found.length > limit) {
      isStopped = true;
      break;
    }
    if (found.length > 4 * limit) keepFirst(found, limit + 1, compare);
  }
  keepFirst(found, limit + 1, compare);
  const page = found.slice(0, limit);
  return {
    sessions: await summariesOf(observation, page),
    next: found.length > limit ? cursorOf(page.at(-1)?.place) : undefined,
    matched: isStopped || (isIndexOrder && start !== undefined) ? undefined : matched,
    listed,
  };
}

function keepFirst(found: Match[], count: number, compare: (a: Place, b: Place) => number): void {
  found.sort((a, b) => compare(a.place, b.place));
  found.length = Math.min(found.length, count);
}

/** Goes through the ids that begin with `prefix`, after the id `after`, in the order of the index. */
async function* idsOf(observation: Observation, prefix = '', after?: string) {
  // The session whose id is the prefix comes first. The index is read from there on.
  if (prefix !== '' && after === undefined) yield [prefix];
  let from: string | undefined = after ?? (prefix === '' ? undefined : prefix);
  do {
    const page = await observation.list(from, STEP);
    const ids = page.ids.filter((id) => id.startsWith(prefix));
    if (ids.length > 0) yield ids;
    if (ids.length < page.ids.length) return;
    from = page.next;
  } while (from !== undefined);
}

/** Returns those of the sessions that match the query. */
async function matchesOf(
  observation: Observation,
  ids: string[],
  query: SessionQuery,
  now: number,
): Promise<{ info: SessionInfo; table: StreamTable | undefined }[]> {
  const records = await observation.sessions(ids);
  const infos = records
    .filter((record): record is SessionRecord => record !== undefined)
    .map(infoOf)
    .filter((info) => matches(info, query, now));
  const { node } = query;
  if (node === undefined) return infos.map((info) => ({ info, table: undefined }));
  const tables = await observation.tables(infos.map(({ id }) => id));
  return infos
    .map((info, at) => ({ info, table: tables[at] }))
    .filter(({ info, table }) => nodesOf(info, table).some((id) => id.startsWith(node)));
}

function matches(info: SessionInfo, query: SessionQuery, now: number): boolean {
  const { client, principal, protocol, idleMs, hasErrors } = query;
  return (
    (client === undefined || includes(clientTextOf(info), client)) &&
    (principal === undefined || includes(principalTextOf(info), principal)) &&
    (protocol === undefined || info.protocolVersion.startsWith(protocol)) &&
    (idleMs === undefined || now - info.lastSeenAt >= idleMs) &&
    (hasErrors === undefined || info.errors > 0 === hasErrors)
  );
}

function includes(text: string, part: string): boolean {
  return text.toLowerCase().includes(part.toLowerCase());
}

function clientTextOf({ clientInfo: { name, version } }: SessionInfo): string {
  return `${name} ${version}`.trim();
}

function principalTextOf({ principal = 'anonymous' }: SessionInfo): string {
  return principal;
}

/** Returns the nodes that own a session, have a server object or a connection of it, or run one of its requests. */
function nodesOf({ owner }: SessionInfo, table: StreamTable | undefined): string[] {
  const streams = table?.streams ?? [];
  return [
    owner,
    ...(table?.replicas ?? []),
    ...streams.flatMap(({ holder, executor }) => [holder?.nodeId, executor]),
  ].filter((id) => id !== undefined);
}

async function summariesOf(observation: Observation, page: Match[]): Promise<SessionSummary[]> {
  const missing = page.filter(({ table }) => table === undefined).map(({ info }) => info.id);
  const tables = await observation.tables(missing);
  const read = new Map(missing.map((id, at) => [id, tables[at]]));
  return page.map(({ info, table }) => summaryOf(info, table ?? read.get(info.id)));
}

/** Returns the figures of a session, from its open streams and running requests. */
export function summaryOf(info: SessionInfo, table: StreamTable | undefined): SessionSummary {
  const streams = table?.streams ?? [];
  return {
    info,
    streams: streams.length,
    followed: streams.filter(({ holder }) => holder !== undefined).length,
    requests: table?.requests.length ?? 0,
    replicas: table?.replicas ?? [],
  };
}

function comparePlaces([a, id]: Place, [b, otherId]: Place): number {
  if (a !== b) return a < b ? -1 : 1;
  return id < otherId ? -1 : id > otherId ? 1 : 0;
}

function cursorOf(place: Place | undefined): string | undefined {
  return place && Buffer.from(JSON.stringify(place)).toString('base64url');
}

function placeOf(cursor: string): Place | undefined {
  const place = parseStored(Buffer.from(cursor, 'base64url').toString('utf8'));
  if (!Array.isArray(place) || place.length !== 2 || typeof place[1] !== 'string') return undefined;
  const [value] = place as unknown[];
  return typeof value === 'string' || typeof value === 'number' ? [value, place[1]] : undefined;
}

function checkQuery({ sort, limit, after, idleMs }: SessionQuery): void {
  if (sort !== undefined && !Object.hasOwn(VALUES, sort)) {
    const keys = Object.keys(VALUES).join(', ');
    throw new TypeError(`mcp-anynode: \`sort\` has to be one of ${keys}`);
  }
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 1 && limit <= MOST_ON_PAGE)) {
    throw new TypeError(
      `mcp-anynode: \`limit\` has to be a whole number from 1 to ${MOST_ON_PAGE}`,
    );
  }
  if (after !== undefined && placeOf(after) === undefined) {
    throw new TypeError('mcp-anynode: `after` has to be the `next` of a page before');
  }
  if (idleMs !== undefined && !(idleMs >= 0)) {
    throw new TypeError('mcp-anynode: `idleMs` has to be a number of milliseconds');
  }
}
