/**
 * Streams whose messages are shown on the standalone stream. A client of HTTP+SSE has a single connection, so that the messages
 * of its requests are shown there. Each POST has a stream of its own all the same: the node that follows it looks after the
 * executor, and it ends with its requests, in the step that puts the answer on the standalone stream.
 */
import type { AppendOperation } from '../backplane/backplane.js';
import { STANDALONE } from '../backplane/backplane.js';
import type { RequestId } from '../protocol/jsonrpc.js';

/** No cursor can name such a stream. */
const MARK = 'g.';

export function streamShownOnStandalone(name: string): string {
  return `${MARK}${name}`;
}

export function isShownOnStandalone(stream: string): boolean {
  return stream.startsWith(MARK);
}

/** What the node that opened a stream has called it. */
export function givenName(stream: string): string {
  return isShownOnStandalone(stream) ? stream.slice(MARK.length) : stream;
}

/** The stream on which the client sees the messages of this one. */
export function shownOn(stream: string): string {
  return isShownOnStandalone(stream) ? STANDALONE : stream;
}

/**
 * Ends a request of a stream, with an answer or without. Only where the first operation is carried out is there a
 * second one to be: a late answer of a node whose request is another one's now is not shown.
 */
export function endOf(
  stream: string,
  id: RequestId,
  answer: string | undefined,
  more: Pick<AppendOperation, 'effect' | 'onlyIf'> = {},
): [AppendOperation, ...AppendOperation[]] {
  const end = { ...{ type: 'append' as const, stream, ends: JSON.stringify(id) }, ...more };
  if (answer === undefined || !isShownOnStandalone(stream)) return [{ ...end, message: answer }];
  const shown = { type: 'append' as const, stream: STANDALONE, message: answer };
  return [
    { ...end, message: undefined },
    { ...shown, onlyIf: { after: true } },
  ];
}
