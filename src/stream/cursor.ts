import { createHash } from 'node:crypto';
import type { Position } from '../backplane/backplane.js';

/** The place that an SSE event id names. */
export interface Cursor {
  stream: string;
  position: Position;
}

const FORMAT =
  /^([\w-]{8})\.([0-9a-z]{1,40})\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})$/;

/**
 * SSE event ids of one session: `<session tag>.<stream>.<number>.<log milliseconds>.<log counter>`, numbers in base 36.
 *
 * The tag ties a cursor to its session, so that one from another session is refused instead of being taken for a place
 * in this one (seen elsewhere: every session's GET stream has the same name, and a foreign cursor replays a stranger's
 * messages). It is no secret and grants nothing: a cursor is only ever looked up in its caller's own log.
 */
export class Cursors {
  private readonly tag: string;

  constructor(sessionId: string) {
    this.tag = createHash('sha256').update(sessionId).digest('base64url').slice(0, 8);
  }

  format(stream: string, { n, logId }: Position): string {
    const dash = logId.indexOf('-');
    const ms = Number(logId.slice(0, dash)).toString(36);
    const counter = Number(logId.slice(dash + 1)).toString(36);
    return `${this.tag}.${stream}.${n.toString(36)}.${ms}.${counter}`;
  }

  /** `undefined`: not a cursor of this session. */
  parse(text: string): Cursor | undefined {
    const [, tag, stream, n, ms, counter] = FORMAT.exec(text) ?? [];
    if (tag !== this.tag || stream === undefined) return undefined;
    const numbers = [n, ms, counter].map((digits) => parseInt(digits ?? '', 36));
    if (!numbers.every((value) => Number.isSafeInteger(value))) return undefined;
    return {
      stream,
      position: { n: numbers[0] ?? 0, logId: `${numbers[1] ?? 0}-${numbers[2] ?? 0}` },
    };
  }
}
