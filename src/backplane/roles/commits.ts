/** The role of a backplane that carries out the steps of nodes in sessions. */
import type { Operation, OperationResult } from '../operations.js';
import type { LogId } from '../positions.js';
import type { Revision } from '../revision.js';
import type { SessionRecord } from './session-records.js';

export interface Commits {
  /**
   * Carries out all operations of a commit in one atomic step, in their order. If an operation is refused, its result says so,
   * and the other operations are still carried out. `gone`: there is no such session, and nothing was changed.
   *
   * A commit is a repeat if its number is not higher than that of this node's last commit in this session. A repeat changes
   * nothing and sends no messages, except that it tells an executor again of a cancelled request. Each operation answers as
   * the first time, as far as that is still known. The reply has the record again if the first reply had it.
   *
   * Rejects with `backplane_unavailable`. The step may have been carried out by then, or may be carried out later.
   */
  commit(commit: Commit): Promise<CommitReply>;
}

export interface Commit {
  sessionId: string;
  /**
   * The number of the commit among those of this node in all sessions, so it also grows within each session. A node has at
   * most one commit per session under way.
   */
  number: number;
  operations: Operation[];
  /**
   * The highest log id that this node has seen. The entries of this commit get higher ids, even if the backplane's clock is
   * behind, as the clock of a new master may be after a failover. Left out: the clock alone makes the ids.
   */
  after?: LogId | undefined;
}

export type CommitReply =
  | { status: 'gone' }
  | {
      status: 'ok';
      /** The revision of the record after this commit. */
      revision: Revision;
      /** The present record. Set if an operation named a revision that is not the current one. */
      record?: SessionRecord;
      /** With `record`: the node whose connection holds the standalone stream, if one does. */
      followedBy?: string;
      /**
       * True if this commit has made this node the owner of the session, by another operation than `append`. If the node has a
       * replica, that replica is outdated: it is from an earlier time as owner, and other nodes may have been owners since.
       */
      becameOwner?: boolean;
      /** One for each operation, in their order. */
      results: OperationResult[];
    };
