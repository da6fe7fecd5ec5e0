/** Scheme and authority of a target in absolute form, which each server has to accept (RFC 9112, section 3.2.2). */
const AUTHORITY = /^[a-z][a-z\d+.-]*:\/\/[^/?]*/i;

/** Returns the path and query of a request's target, as the client wrote them. */
export function pathAndQuery(target: string): string {
  return target.replace(AUTHORITY, '');
}
