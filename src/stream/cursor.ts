import { createHash } from 'node:crypto';
import type { Position } from '../backplane/backplane.js';

/** The stream and the position that an SSE event id names. */
export interface Cursor {
  stream: string;
  position: Position;
}

const FORMAT =
  /^([\w-]{8})\.([0-9a-z]{1,40})\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})$/;

/**
 * Writes and reads the SSE event ids of one session, which are its cursors. The format is
 * `<session tag>.<stream>.<number>.<log milliseconds>.<log counter>`, with numbers in base 36.
 *
 * The tag ties a cursor to its session. Without it, a cursor of another session could name a position in this one, since
 * the standalone stream has the same name in every session. The tag is no secret and grants nothing: a cursor is only
 * looked up in the log of the caller's own session.
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

  /** Returns `undefined` if the text is no cursor of this session. */
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
