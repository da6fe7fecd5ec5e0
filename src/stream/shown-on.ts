/**
 * Streams that flow into the standalone one. With HTTP+SSE a client has a single connection, so what belongs to its
 * requests is shown there. A request has a stream of its own all the same, a **tributary**: whoever follows it looks
 * after its executor, and it ends with its requests, in the step that puts the answer on the standalone stream.
 */
import type { AppendOperation } from '../backplane/backplane.js';
import { STANDALONE } from '../backplane/backplane.js';
import type { RequestId } from '../protocol/jsonrpc.js';

/** No cursor can name such a stream. */
const MARK = 'g.';

export function tributary(name: string): string {
  return `${MARK}${name}`;
}

export function isTributary(stream: string): boolean {
  return stream.startsWith(MARK);
}

/** What the node that opened a stream has called it. */
export function givenName(stream: string): string {
  return isTributary(stream) ? stream.slice(MARK.length) : stream;
}

/** The stream on which the client sees the messages of this one. */
export function shownOn(stream: string): string {
  return isTributary(stream) ? STANDALONE : stream;
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
  if (answer === undefined || !isTributary(stream)) return [{ ...end, message: answer }];
  const shown = { type: 'append' as const, stream: STANDALONE, message: answer };
  return [
    { ...end, message: undefined },
    { ...shown, onlyIf: { after: true } },
  ];
}
