import { AnynodeError } from '../../../protocol/errors.js';

/**
 * Replies for which a command is tried again: the server is loading, failing over, full or busy. Before 7.0, an error of a
 * command inside a script is wrapped: `ERR Error running script (call to f_1a2b): @user_script:9: … -OOM …`.
 */
const TRANSIENT =
  /^(?:ERR Error running script .*?: -)?(LOADING|READONLY|CLUSTERDOWN|TRYAGAIN|MASTERDOWN|BUSY|NOREPLICAS|MISCONF|OOM|UNBLOCKED)/;

/** Returns the word that says why the server refuses for now, or `undefined` for any other reply. */
export function refusal(message: string): string | undefined {
  return TRANSIENT.exec(message)?.[1];
}

/** True if a failed command may succeed later: its connection ended, or the server refuses for now. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof AnynodeError) return false;
  return error.name !== 'ReplyError' || refusal(error.message) !== undefined;
}
