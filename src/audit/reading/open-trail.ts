import { statSync } from 'node:fs';
import { checkPostgresUrl, isUrl } from '../../options/audit-option.js';
import { directoryTrail } from '../directory/directory-trail.js';
import { postgresTrail } from '../postgres/postgres-trail.js';
import type { Trail } from './trail.js';

/**
 * Opens an audit trail for reading: a directory, or a URL of PostgreSQL (`postgres://…`). Throws a `TypeError` for a directory
 * that does not exist, and for a URL that is none of PostgreSQL. A database is connected to by the first call.
 */
export function openTrail(where: string): Trail {
  if (isUrl(where)) {
    checkPostgresUrl(where, 'the trail');
    return postgresTrail(where);
  }
  if (statSync(where, { throwIfNoEntry: false })?.isDirectory() === true) {
    return directoryTrail(where);
  }
  // A URL of another kind may have a password in it.
  const name = where.includes(':/') ? 'of this name' : where;
  throw new TypeError(
    `mcp-anynode: there is no directory ${name}; a trail is a directory, or a URL such as postgres://user@host/database`,
  );
}
