import { recognizeInAllCopies } from './across-copies.js';

/**
 * The codes of the errors that can happen at run time.
 *
 * - `backplane_unavailable`: the backplane did not answer in `commandTimeoutMs`, or refused the step. HTTP clients see 503.
 * - `session_not_found`: there is no session of that id, or it has ended.
 * - `request_timeout`: the client did not answer a `session(id).request` in time.
 * - `undecodable`: the stored text was not encoded by the `codec` of this node, or with keys that this node does not have.
 * - `audit_full`: nothing that begins is accepted, because the audit trail could not be delivered for too long (the option
 *   `audit`). HTTP clients see 503.
 * - `closed`: this node was closed, or another node owns the session now (`affinity: 'owner'`).
 */
export type AnynodeErrorCode =
  | 'backplane_unavailable'
  | 'session_not_found'
  | 'request_timeout'
  | 'undecodable'
  | 'audit_full'
  | 'closed';

/** `instanceof` also recognizes the errors of another copy of this package: of its ES modules, or of its CommonJS. */
export class AnynodeError extends Error {
  static {
    recognizeInAllCopies(this, 'AnynodeError');
  }

  override readonly name = 'AnynodeError';
  constructor(
    readonly code: AnynodeErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A step that failed inside the backplane and would fail again, so the node does not repeat it. */
export class FailedStep extends AnynodeError {
  constructor(cause: Error) {
    super('backplane_unavailable', `A step failed in the backplane: ${cause.message}`, { cause });
  }
}

/** Returns the error of a step that found its session ended. That is normal: the client may end the session at any time. */
export function sessionEnded(): AnynodeError {
  return new AnynodeError('session_not_found', 'The session has ended');
}

/** Returns the error of a step that the full outbox of the audit trail has refused. */
export function auditFull(): AnynodeError {
  return new AnynodeError(
    'audit_full',
    'Too much waits for the audit trail: its sink, or the archiver, does not keep up',
  );
}

export function isSessionEnded(error: unknown): boolean {
  return error instanceof AnynodeError && error.code === 'session_not_found';
}

export function unavailable(cause: unknown): AnynodeError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new AnynodeError('backplane_unavailable', `The backplane cannot be reached: ${detail}`, {
    cause,
  });
}
