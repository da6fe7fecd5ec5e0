/** The role of a backplane that carries out the steps of nodes in sessions. */
import type { Operation, OperationResult } from '../operations.js';
import type { LogId } from '../positions.js';
import type { Revision } from '../revision.js';
import type { SessionRecord } from './session-records.js';

export interface Commits {
  /**
   * Carries out all operations of a commit in one atomic step, in their order. An operation that is refused says so in its
   * result, and the others are carried out all the same. `gone`: there is no such session, and nothing was changed.
   *
   * A commit is a repeat if its number is not above that of the last commit of this node in this session. A repeat changes
   * nothing, tells no node anything (but an executor that a request of its is cancelled), and answers for each operation as
   * the first time, as far as that is known. It brings the record again if the first reply had it.
   *
   * Rejects with `backplane_unavailable`. The step may have been carried out then, or may still be.
   */
  commit(commit: Commit): Promise<CommitReply>;
}

export interface Commit {
  sessionId: string;
  /** Counts the commits of this node in all sessions, so it grows within each. A node has one commit per session under way. */
  number: number;
  operations: Operation[];
  /**
   * The latest place in the logs that this node has seen. What this commit adds to the log comes after it, also where the
   * backplane's clock is behind: the clock of a new master may be, after a failover. Left out: the clock decides alone.
   */
  after?: LogId | undefined;
}

export type CommitReply =
  | { status: 'gone' }
  | {
      status: 'ok';
      /** The revision of the record after this commit. */
      revision: Revision;
      /** The record as it is now, if an operation named a revision that is not the current one. */
      record?: SessionRecord;
      /** With `record`: the node that holds the standalone stream, if a connection holds it. */
      followedBy?: string;
      /**
       * True if this commit has made this node the owner of the session (not by an `append`). A replica that the node has is of
       * an earlier time when it was the owner, and other owners may have been there since.
       */
      becameOwner?: boolean;
      /** One for each operation, in their order. */
      results: OperationResult[];
    };
