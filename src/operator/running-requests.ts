/** Finds out what the running requests of a session are, from the log. */
import type { LogEntry } from '../backplane/backplane.js';
import { compareLogIds, isReleased, LOG_START } from '../backplane/backplane.js';
import type { Observation, StreamTable } from '../backplane/observation.js';
import type { JsonRpcMessage, RequestId } from '../protocol/json/jsonrpc.js';
import { isObject } from '../protocol/json/jsonrpc.js';
import { parseStored } from '../protocol/json/parse-stored.js';
import { eventOf } from './event-of-entry.js';
import type { RequestInfo } from './observer.js';
import { following } from './session-events.js';

/** The log is read backwards, in pages of so many entries. */
const PAGE = 32;
/** The log is read no further back than this, so that one old request does not make the call read a whole long log. */
const MOST_ENTRIES = 2_000;
const MOST_CHARACTERS = 4 * 1024 * 1024;

type Found = Pick<RequestInfo, 'method' | 'name' | 'since' | 'receivedBy'>;

const UNKNOWN: Found = {
  ...{ method: undefined, name: undefined, since: undefined, receivedBy: undefined },
};

/** Returns the running requests, the oldest first, with what the log still has of them. */
export async function runningRequests(
  observation: Observation,
  sessionId: string,
  table: StreamTable | undefined,
): Promise<RequestInfo[]> {
  const { requests = [], streams = [] } = table ?? {};
  const found = requests.length === 0 ? new Map() : await search(observation, sessionId, table);
  const running = requests.map(({ id, stream }) => {
    const of = streams.find(({ name }) => name === stream);
    const executor = of?.executor;
    return {
      ...{ id: parseStored(id) as RequestId, stream },
      executor: executor === undefined || isReleased(executor) ? undefined : executor,
      begun: of?.begun ?? true,
      ...((found.get(keyOf(stream, id)) ?? found.get(stream) ?? UNKNOWN) as Found),
    };
  });
  // Redis returns the fields of a hash in any order.
  return running.sort(
    (a, b) => (a.since ?? Infinity) - (b.since ?? Infinity) || compare(String(a.id), String(b.id)),
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}

function keyOf(stream: string, request: string): string {
  return `${stream} ${request}`;
}

/**
 * Reads the log backwards until all running requests are found. A request is before every message of its stream, and it is
 * mostly the last entry or close to it. The result has an entry for each request, or for the stream of an unreadable one.
 */
async function search(
  observation: Observation,
  sessionId: string,
  table: StreamTable | undefined,
): Promise<Map<string, Found>> {
  const { requests = [], streams = [] } = table ?? {};
  const wanted = new Set(requests.map(({ stream }) => stream));
  const open = new Map(requests.map(({ id, stream }) => [keyOf(stream, id), stream]));
  const found = new Map<string, Found>();
  let before = following(
    streams
      .filter(({ name }) => wanted.has(name))
      .map(({ last }) => last.logId)
      .reduce((a, b) => (compareLogIds(a, b) < 0 ? b : a), LOG_START),
  );
  for (let entries = 0, characters = 0; open.size > 0;) {
    const page = await observation.historyBefore(sessionId, before, PAGE);
    const [oldest] = page;
    if (oldest === undefined) break;
    for (const entry of page) {
      characters += entry.message?.length ?? 0;
      const { stream, direction } = entry;
      if (direction !== 'in' || stream === undefined || !wanted.has(stream)) continue;
      const { key, what } = foundIn(entry, stream);
      found.set(key, what);
      for (const [request, of] of open) if (request === key || of === key) open.delete(request);
    }
    entries += page.length;
    before = oldest.logId;
    if (entries >= MOST_ENTRIES || characters >= MOST_CHARACTERS) break;
  }
  return found;
}

function foundIn(entry: LogEntry, stream: string): { key: string; what: Found } {
  const { at: since, nodeId: receivedBy, method, requestId, message } = eventOf(entry);
  const key = requestId === undefined ? stream : keyOf(stream, JSON.stringify(requestId));
  return { key, what: { method, name: nameOf(message), since, receivedBy } };
}

/** Returns the name of the tool or prompt, or the URI of the resource. The client may have sent any types. */
function nameOf(message: JsonRpcMessage | undefined): string | undefined {
  const params: unknown = message && 'params' in message ? message.params : undefined;
  if (!isObject(params)) return undefined;
  const name = params.name ?? params.uri;
  return typeof name === 'string' ? name : undefined;
}
