/** Reads requests of the page. All that comes from a browser is bounded and checked here. */
import type { IncomingMessage } from 'node:http';
import type { SessionQuery } from '../../operator/observer.js';
import { Refused } from './reply.js';

const MOST_BODY_BYTES = 8 * 1024;
const LONGEST_TEXT = 256;
const SORTS = ['id', 'client', 'principal', 'protocol', 'created', 'used', 'errors'] as const;

/** Returns the path below the place where the monitor is mounted, without the query. */
export function pathOf(url = '/'): string {
  const end = url.search(/[?#]/);
  return end < 0 ? url : url.slice(0, end);
}

/**
 * Refuses requests of other sites. A browser sends `Origin` with each POST, and its host has to be that of the request. A request
 * without `Origin` does not come from a page.
 */
export function checkOrigin({ headers }: IncomingMessage): void {
  const { origin, host } = headers;
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin') throw new Refused(403, 'Another site asks');
  if (origin === undefined) return;
  const forwarded = headers['x-forwarded-host'];
  const name = URL.canParse(origin) ? new URL(origin).host : undefined;
  if (name === undefined || (name !== host && name !== forwarded)) {
    throw new Refused(403, 'Another site asks');
  }
}

/** Reads the JSON body, or takes the one that middleware in front has read. */
export async function bodyOf(req: IncomingMessage): Promise<Record<string, unknown>> {
  // A form of another site cannot send this type without asking first.
  if (!/^application\/json\b/i.test(req.headers['content-type'] ?? '')) {
    throw new Refused(415, 'The body has to be JSON');
  }
  const parsed: unknown = 'body' in req ? req.body : undefined;
  const value: unknown = parsed === undefined ? await readJson(req) : parsed;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Refused(400, 'The body has to be an object');
  }
  return value as Record<string, unknown>;
}

async function readJson(req: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MOST_BODY_BYTES) throw new Refused(413, 'The body is too large');
    chunks.push(chunk);
  }
  try {
    return JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown;
  } catch {
    throw new Refused(400, 'The body has to be JSON');
  }
}

/** Reads a text of a body. `undefined`: it is not there. */
export function textOf(body: Record<string, unknown>, name: string): string | undefined {
  const value = body[name];
  if (value === undefined || value === '' || value === null) return undefined;
  if (typeof value !== 'string' || value.length > LONGEST_TEXT) {
    throw new Refused(400, `${name} has to be a text of at most ${LONGEST_TEXT} characters`);
  }
  return value;
}

/** Reads the id of a session. */
export function sessionOf(body: Record<string, unknown>): string {
  const id = textOf(body, 'session');
  if (id === undefined || !/^[\x21-\x7e]{1,256}$/.test(id) || /[{}]/.test(id)) {
    throw new Refused(400, 'session has to be the id of a session');
  }
  return id;
}

/** Reads the id of an event. */
export function eventIdOf(body: Record<string, unknown>, name: string): string | undefined {
  const id = textOf(body, name);
  if (id !== undefined && !/^\d{1,16}-\d{1,16}$/.test(id)) {
    throw new Refused(400, `${name} has to be the id of an event`);
  }
  return id;
}

/** Reads which sessions the page asks for. */
export function queryOf(body: Record<string, unknown>): SessionQuery {
  const query: Record<string, unknown> = { limit: 50 };
  for (const name of ['idPrefix', 'client', 'principal', 'node', 'protocol', 'after'] as const) {
    const text = textOf(body, name);
    if (text !== undefined) query[name] = text;
  }
  const { idleMs, limit } = body;
  if (idleMs !== undefined) query.idleMs = numberOf(idleMs, 'idleMs', 1e12);
  if (limit !== undefined) query.limit = numberOf(limit, 'limit', 200);
  if (body.hasErrors === true) query.hasErrors = true;
  if (body.reverse === true) query.reverse = true;
  const sort = textOf(body, 'sort');
  if (sort !== undefined) {
    if (!(SORTS as readonly string[]).includes(sort)) {
      throw new Refused(400, `sort has to be one of ${SORTS.join(', ')}`);
    }
    query.sort = sort;
  }
  return query;
}

function numberOf(value: unknown, name: string, most: number): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > most) {
    throw new Refused(400, `${name} has to be a whole number from 1 to ${most}`);
  }
  return value;
}

/** Throws a `TypeError` unless the text is the address of a trace, with `{traceId}` where its id belongs. */
export function checkTraceUrl(template: unknown): void {
  if (typeof template === 'string' && template.includes('{traceId}')) {
    const example = template.replaceAll('{traceId}', '0'.repeat(32));
    if (URL.canParse(example) && /^https?:$/.test(new URL(example).protocol)) return;
  }
  throw new TypeError(
    'mcp-anynode: `traceUrl` has to be an http or https URL with `{traceId}` in it, as in `https://tempo.example/trace/{traceId}`',
  );
}
