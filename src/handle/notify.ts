import type { AppendOperation, Condition, SessionRecords } from '../backplane/backplane.js';
import { coalescedByUri, STANDALONE } from '../backplane/backplane.js';
import { AnynodeError } from '../protocol/errors.js';
import type { Followers } from '../stream/followers/followers.js';
import type { CommitQueue } from '../stream/commit-queue.js';
import type { ServerEvent } from '../options/modern-option.js';
import { deliverToFollower } from '../stream/followers/deliver-to-followers.js';
import type { Logger } from '../options/public-types.js';
import { unheld } from '../protocol/unheld.js';

/**
 * Tells the sessions of the cluster that a list or a resource has changed. Any node can do this, and each session is told
 * once. Sessions are told of a list if their server has announced such notifications, and of a resource if they have
 * subscribed to it. A session with no open stream keeps one notification of a kind until its client is back. With the
 * option `modern`, clients of 2026-07-28 that have subscribed are told too.
 *
 * Each method resolves with the number of sessions told, once all notifications are stored. If it rejects with
 * `backplane_unavailable`, some sessions may have been told. If it rejects with `undecodable`, all were told except
 * those that this node's `codec` cannot read.
 */
export interface Notify {
  /** Sends `notifications/tools/list_changed`. */
  toolsChanged(): Promise<number>;
  /** Sends `notifications/prompts/list_changed`. */
  promptsChanged(): Promise<number>;
  /** Sends `notifications/resources/list_changed`. */
  resourcesChanged(): Promise<number>;
  /** Sends `notifications/resources/updated` with this URI. */
  resourceUpdated(uri: string): Promise<number>;
}

/** Tells sessions, and also clients without a session that listen on the bus. The numbers do not count the latter. */
export function notifyBoth(
  sessions: Notify,
  announce: (event: ServerEvent) => Promise<void>,
): Notify {
  const both = async (event: ServerEvent, tell: () => Promise<number>): Promise<number> => {
    const [, told] = await Promise.all([announce(event), tell()]);
    return told;
  };
  return {
    toolsChanged: () => both({ kind: 'tools_list_changed' }, () => sessions.toolsChanged()),
    promptsChanged: () => both({ kind: 'prompts_list_changed' }, () => sessions.promptsChanged()),
    resourcesChanged: () =>
      both({ kind: 'resources_list_changed' }, () => sessions.resourcesChanged()),
    resourceUpdated: (uri) =>
      both({ kind: 'resource_updated', uri }, () => sessions.resourceUpdated(uri)),
  };
}

/** For callers that ignore the promises of `notify`: a rejection is written to the log and does not end the process. */
export function unheldNotify(notify: Notify, logger: Pick<Logger, 'warn'>): Notify {
  const marked = (promise: Promise<number>): Promise<number> =>
    unheld(promise, (error) => {
      logger.warn(`mcp-anynode: not all sessions were told of a change: ${String(error)}`);
    });
  return {
    toolsChanged: () => marked(notify.toolsChanged()),
    promptsChanged: () => marked(notify.promptsChanged()),
    resourcesChanged: () => marked(notify.resourcesChanged()),
    resourceUpdated: (uri) => marked(notify.resourceUpdated(uri)),
  };
}

/** How many sessions are told at the same time. */
const AT_ONCE = 200;

export function notifyAll(parts: {
  backplane: SessionRecords;
  commitQueue: CommitQueue;
  followers: Followers;
}): Notify {
  const tell = async (
    method: string,
    onlyIf: Condition,
    params?: Record<string, unknown>,
  ): Promise<number> => {
    const operation: AppendOperation = {
      type: 'append',
      stream: STANDALONE,
      message: JSON.stringify({ jsonrpc: '2.0', method, ...(params !== undefined && { params }) }),
      onlyIf,
      coalesce: 'subscribed' in onlyIf ? coalescedByUri(onlyIf.subscribed) : method,
    };
    let unread: AnynodeError | undefined;
    const tellOne = async (sessionId: string): Promise<boolean> => {
      const committed = await parts.commitQueue
        .submit(sessionId, [operation])
        .catch((error: unknown) => {
          if (!(error instanceof AnynodeError && error.code === 'undecodable')) throw error;
          unread = error;
          return 'gone' as const;
        });
      if (committed === 'gone') return false;
      const [result] = committed.results;
      deliverToFollower(parts.followers, sessionId, operation, result);
      return result?.status === 'appended' || result?.status === 'repeated';
    };
    let told = 0;
    let after: string | undefined;
    do {
      const page = await parts.backplane.list(after, AT_ONCE);
      const results = await Promise.all(page.ids.map(tellOne));
      told += results.filter(Boolean).length;
      after = page.next;
    } while (after !== undefined);
    if (unread !== undefined) throw unread;
    return told;
  };
  return {
    toolsChanged: () => tell('notifications/tools/list_changed', { hears: 'tools' }),
    promptsChanged: () => tell('notifications/prompts/list_changed', { hears: 'prompts' }),
    resourcesChanged: () => tell('notifications/resources/list_changed', { hears: 'resources' }),
    resourceUpdated: (uri) => tell('notifications/resources/updated', { subscribed: uri }, { uri }),
  };
}
