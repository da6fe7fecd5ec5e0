import type { AuditRecord } from '../record.js';
import type { TrailQuery } from './trail.js';

/** Returns whether a record fits a query. */
export function matches(record: AuditRecord, query: TrailQuery): boolean {
  const { session, principal, tool, method, outcome, from = -Infinity, until = Infinity } = query;
  return (
    (session === undefined || record.session === session) &&
    (principal === undefined || (record.principal ?? null) === principal) &&
    (tool === undefined || record.tool === tool) &&
    (method === undefined || record.method === method) &&
    (outcome === undefined || record.outcome === outcome) &&
    record.at >= from &&
    record.at < until
  );
}
