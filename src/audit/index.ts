/** The entry `mcp-anynode/audit`: archives, stores, reads and verifies the audit trail. */

// An archiver in a process of its own.
export { archive } from './archiver/archive.js';
export type { Archive, ArchiveOptions } from './archiver/archive.js';
export type { AuditOptions, AuditTarget } from '../options/audit-option.js';

// Records, and where they are stored.
export type { AuditOutcome, AuditRecord, AuditRecordType, AuditSink } from './record.js';
export { directorySink } from './directory/directory-sink.js';
export type { DirectorySinkOptions } from './directory/directory-sink.js';
export { postgresSink } from './postgres/postgres-sink.js';
export type { PostgresOptions } from './postgres/postgres-sink.js';
export type { PostgresClient, PostgresPool } from './postgres/postgres-connections.js';

// Reading a trail.
export { openTrail } from './reading/open-trail.js';
export { directoryTrail } from './directory/directory-trail.js';
export { postgresTrail } from './postgres/postgres-trail.js';
export type { OnUnreadable, Trail, TrailQuery } from './reading/trail.js';
export { archivedSessions } from './reading/archived-sessions.js';
export type { ArchivedOptions, ArchivedSessions } from './reading/archived-sessions.js';

// Whether a trail is whole.
export { verifyTrail } from './verifying/verify-trail.js';
export type { TrailProblem, Verification, VerifyOptions } from './verifying/verify-trail.js';
