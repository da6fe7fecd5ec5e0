import { AnynodeError } from '../../../protocol/errors.js';

/**
 * Replies that mean "not now": the server is loading, failing over, full or busy. Worth another try. Before 7.0, an error
 * of a command inside a script comes wrapped: `ERR Error running script (call to f_1a2b): @user_script:9: … -OOM …`.
 */
const TRANSIENT =
  /^(?:ERR Error running script .*?: -)?(LOADING|READONLY|CLUSTERDOWN|TRYAGAIN|MASTERDOWN|BUSY|NOREPLICAS|MISCONF|OOM|UNBLOCKED)/;

/** The word for why the server refuses for now; `undefined` for any other reply. */
export function refusal(message: string): string | undefined {
  return TRANSIENT.exec(message)?.[1];
}

/** Whether what failed may succeed when it is tried again: the connection ended, or the server refuses for now. */
export function isTransient(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (error instanceof AnynodeError) return false;
  return error.name !== 'ReplyError' || refusal(error.message) !== undefined;
}
