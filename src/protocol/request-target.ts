/** Of a target in absolute form, which each server has to take (RFC 9112, section 3.2.2). */
const AUTHORITY = /^[a-z][a-z\d+.-]*:\/\/[^/?]*/i;

/** Path and query of a request's target, as they were written. */
export function pathAndQuery(target: string): string {
  return target.replace(AUTHORITY, '');
}
