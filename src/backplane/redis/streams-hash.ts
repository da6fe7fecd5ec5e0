import type { Holder, OpenStream } from '../backplane.js';
import { isReleased, LOG_START } from '../backplane.js';
import type { StreamState, StreamTable } from '../observation.js';

/**
 * Parses the streams hash of a session. `scripts/includes/streams-hash.lua` lists its fields. `undefined`: there is no such
 * session.
 */
export function parseStreamsHash(fields: Record<string, string>): StreamTable | undefined {
  if (Object.keys(fields).length === 0) return undefined;
  const streams = new Map<string, StreamState>();
  const requests: StreamTable['requests'] = [];
  const stream = (name: string): StreamState => {
    const known = streams.get(name);
    if (known !== undefined) return known;
    const made: StreamState = { name, last: { n: 0, logId: LOG_START }, begun: true };
    streams.set(name, made);
    return made;
  };
  for (const [field, value] of Object.entries(fields)) {
    // A request's id may contain colons.
    const name = field.slice(2);
    const colon = value.indexOf(':');
    switch (field.slice(0, 2)) {
      case 'n:':
        stream(name).last = { n: Number(value.slice(0, colon)), logId: value.slice(colon + 1) };
        break;
      case 'h:':
        stream(name).holder = parseHolder(value);
        break;
      case 'x:': {
        const begun = !value.startsWith('+');
        Object.assign(stream(name), { executor: begun ? value : value.slice(1), begun });
        break;
      }
      case 'r:':
        requests.push({ id: name, stream: value });
        break;
    }
  }
  return {
    streams: [...streams.values()],
    requests,
    replicas: (fields.reps ?? '').split(' ').filter((id) => id !== ''),
    loggedBytes: Number(fields.bytes ?? 0),
  };
}

/** See `Streams.openStreams`. */
export function parseOpenStreams(fields: Record<string, string>): OpenStream[] {
  const { streams = [] } = parseStreamsHash(fields) ?? {};
  return streams.flatMap(({ name, holder, executor, begun }) => {
    if (executor === undefined) return [];
    const runsOn = begun && !isReleased(executor) ? executor : undefined;
    return { stream: name, holder: holder?.nodeId, runsOn };
  });
}

/** Formats a holder as in scripts and in the streams hash: `<node>:<token>`. */
export function formatHolder({ nodeId, token }: Holder): string {
  return `${nodeId}:${token}`;
}

export function parseHolder(text: string): Holder {
  const colon = text.indexOf(':');
  return { nodeId: text.slice(0, colon), token: text.slice(colon + 1) };
}
