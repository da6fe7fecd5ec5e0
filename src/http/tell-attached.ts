import type { AttachReply, AttachRequest } from '../backplane/backplane.js';
import { justBefore, STANDALONE } from '../backplane/backplane.js';
import type { Attached } from '../execution/client-connections.js';
import type { NodeContext } from '../stream/node-context.js';

/**
 * Tells telemetry that a client has resumed a stream, or has taken it from another connection. Without telemetry it does
 * nothing. Never rejects.
 */
export async function tellAttached(
  node: NodeContext,
  request: AttachRequest,
  attached: Attached,
): Promise<void> {
  const { telemetry, nodeId } = node;
  if (telemetry === undefined) return;
  const { sessionId, stream, cursor } = request;
  const { previous, trace } = attached;
  const about = { sessionId, stream, trace };
  const before = previous?.nodeId ?? (await nodeBefore(node, request));
  const where = before === undefined ? undefined : { node: before === nodeId ? 'same' : 'other' };
  if (cursor !== undefined) {
    telemetry.count('resumes', { outcome: 'resumed', ...where });
    telemetry.happened('resume', about, where);
  }
  if (previous === undefined) return;
  telemetry.count('takeovers', { of: 'stream', ...where });
  if (cursor === undefined) telemetry.happened('takeover', about, where);
}

/** Tells telemetry that a client was refused the stream to which it came back. */
export function tellRefused({ telemetry }: NodeContext, outcome: AttachReply['status']): void {
  telemetry?.count('resumes', { outcome });
  if (outcome === 'trimmed') telemetry?.count('logTrimmed');
}

/**
 * Returns the node that has served the stream before, although no connection holds it any more. The name of a POST's stream
 * begins with that node. The standalone stream has the node in the log, with the message that the client had last.
 */
async function nodeBefore(
  { backplane, nodeId }: NodeContext,
  { sessionId, stream, cursor }: AttachRequest,
): Promise<string | undefined> {
  if (stream !== STANDALONE) return stream.slice(0, nodeId.length);
  if (cursor === undefined) return undefined;
  try {
    const [entry] = await backplane.history(sessionId, justBefore(cursor.logId), 1);
    if (entry?.logId !== cursor.logId) return undefined;
    return entry.holder === undefined ? entry.by : (entry.holder ?? undefined);
  } catch {
    return undefined;
  }
}
