import { createHash } from 'node:crypto';

/** Makes the hash tag of an id, so that all keys with it share a cluster slot. An id that cannot be a tag is hashed. */
export function hashTag(id: string): string {
  if (/^[\w.~-]{1,256}$/.test(id)) return `{${id}}`;
  return `{#${createHash('sha256').update(id).digest('base64url')}}`;
}
