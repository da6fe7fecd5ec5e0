import type { NodeInfo, SessionDetails, SessionSummary } from '../../operator/observer.js';
import type { SessionEvent, SessionInfo } from '../../options/public-types.js';

/**
 * Adds the times of an object as texts of ISO 8601, beside the numbers of milliseconds: `at` as `time`, `createdAt` as
 * `createdTime`, `since` as `sinceTime`.
 */
function withTimes<T extends object>(value: T, names: (keyof T & string)[]): object {
  const texts = names.map((name) => {
    const key = name === 'at' ? 'time' : `${name.replace(/At$/, '')}Time`;
    return [key, isoTime(value[name])];
  });
  return { ...value, ...(Object.fromEntries(texts) as object) };
}

/** Formats a time that Redis stores, which may be any number. */
function isoTime(at: unknown): string | undefined {
  const date = new Date(typeof at === 'number' ? at : NaN);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

export function nodeDocument(node: NodeInfo): object {
  return withTimes(node, ['startedAt']);
}

export function eventDocument(event: SessionEvent): object {
  return withTimes(event, ['at']);
}

export function sessionDocument({ info, ...figures }: SessionSummary): object {
  return { ...infoDocument(info), ...figures };
}

export function detailsDocument(details: SessionDetails): object {
  const requests = details.requests.map((request) => withTimes(request, ['since']));
  return { ...details, info: infoDocument(details.info), requests };
}

function infoDocument(info: SessionInfo): object {
  return withTimes(info, ['createdAt', 'lastSeenAt']);
}
