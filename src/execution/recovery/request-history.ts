/** Reads from the log the requests of a stream, and says whether a request may run again. */
import type { LogId } from '../../backplane/backplane.js';
import { LOG_START, STANDALONE } from '../../backplane/backplane.js';
import type { JsonRpcRequest, RequestId } from '../../protocol/json/jsonrpc.js';
import { isNotification, isRequest } from '../../protocol/json/jsonrpc.js';
import { parseStoredMessage } from '../../protocol/json/parse-stored.js';
import { isShownOnStandalone } from '../../stream/shown-on.js';
import { annotationsOf } from '../../replica/tool-annotations.js';
import type { LiveSession } from '../../replica/live-session.js';
import type { NodeContext } from '../../stream/node-context.js';

export interface RequestHistory {
  /** The requests as stored. A request that the log no longer has cannot run again. */
  requests: Map<RequestId, JsonRpcRequest>;
  /** True if the server has sent the client a request. If the call ran again, the server would ask twice. */
  hasAskedClient: boolean;
  /** The highest progress that was shown, by progress token. */
  progress: Map<unknown, number>;
}

const PAGE = 500;

/**
 * Reads what the log has of a stream, after the entry `from`. With JSON responses and with HTTP+SSE, messages of a call are
 * on the standalone stream, among others that do not belong to the call. All of them count there.
 */
export async function readRequestHistory(
  { backplane, settings }: Pick<NodeContext, 'backplane' | 'settings'>,
  sessionId: string,
  stream: string,
  from: LogId = LOG_START,
): Promise<RequestHistory> {
  const history: RequestHistory = {
    requests: new Map(),
    hasAskedClient: false,
    progress: new Map(),
  };
  const usesStandalone = settings.responseMode === 'json' || isShownOnStandalone(stream);
  let after = from;
  for (;;) {
    const entries = await backplane.history(sessionId, after, PAGE);
    for (const entry of entries) {
      const mayBelong = usesStandalone && entry.stream === STANDALONE && history.requests.size > 0;
      if (entry.stream !== stream && !mayBelong) continue;
      if (entry.unreadable === true) history.hasAskedClient = true; // an entry that cannot be decoded may be a request to the client
      if (entry.message === undefined) continue;
      const message = parseStoredMessage(entry.message);
      if (message === undefined) continue;
      if (entry.direction === 'in') {
        if (isRequest(message)) history.requests.set(message.id, message);
      } else if (entry.asker !== undefined) {
        history.hasAskedClient = true;
      } else if (isNotification(message) && message.method === 'notifications/progress') {
        const { progressToken, progress } = message.params ?? {};
        if (typeof progress === 'number') history.progress.set(progressToken, progress);
      }
    }
    const last = entries.at(-1);
    if (last === undefined) return history;
    after = last.logId;
  }
}

/** True for a call of a tool whose annotations say that a second call does no harm. */
export async function mayRerun(live: LiveSession, request: JsonRpcRequest): Promise<boolean> {
  if (request.method !== 'tools/call') return false;
  const { idempotentHint, readOnlyHint } = await annotationsOf(
    live.transport,
    request.params?.name,
  );
  return idempotentHint === true || readOnlyHint === true;
}
