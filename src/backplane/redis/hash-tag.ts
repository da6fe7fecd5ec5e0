import { createHash } from 'node:crypto';

/** Puts an id into a key so that all keys with it share a cluster slot. Ids that would make no tag are hashed. */
export function hashTag(id: string): string {
  if (/^[\w.~-]{1,256}$/.test(id)) return `{${id}}`;
  return `{#${createHash('sha256').update(id).digest('base64url')}}`;
}
