/**
 * Streams whose messages are shown on the standalone stream. A client of HTTP+SSE has a single connection, which has to show
 * the messages of its requests, too. Each POST still has its own stream. It names the executor of the requests, which other
 * nodes watch. It ends with its requests, in the step that puts the last answer on the standalone stream.
 */
import type { AppendOperation } from '../backplane/backplane.js';
import { STANDALONE } from '../backplane/backplane.js';
import type { RequestId } from '../protocol/json/jsonrpc.js';

/** The prefix of the names of these streams. No cursor can name one, because a cursor's stream has no dot. */
const MARK = 'g.';

export function streamShownOnStandalone(name: string): string {
  return `${MARK}${name}`;
}

export function isShownOnStandalone(stream: string): boolean {
  return stream.startsWith(MARK);
}

/** The name that the node gave the stream when it opened it, without the prefix. */
export function givenName(stream: string): string {
  return isShownOnStandalone(stream) ? stream.slice(MARK.length) : stream;
}

/** The stream on which the client sees the messages of this stream. */
export function shownOn(stream: string): string {
  return isShownOnStandalone(stream) ? STANDALONE : stream;
}

/**
 * Returns the operations that end a request of a stream, with or without an answer. If the answer is shown on the standalone
 * stream, a second operation stores it there. That is carried out only if the first one was. So the late answer of a node
 * whose request another node has taken over is not shown.
 */
export function endOf(
  stream: string,
  id: RequestId,
  answer: string | undefined,
  more: Pick<AppendOperation, 'effect' | 'failed' | 'onlyIf'> = {},
): [AppendOperation, ...AppendOperation[]] {
  const end = { ...{ type: 'append' as const, stream, ends: JSON.stringify(id) }, ...more };
  if (answer === undefined || !isShownOnStandalone(stream)) return [{ ...end, message: answer }];
  const shown = { type: 'append' as const, stream: STANDALONE, message: answer };
  return [
    { ...end, message: undefined },
    { ...shown, onlyIf: { after: true } },
  ];
}
