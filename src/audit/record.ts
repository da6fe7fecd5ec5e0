/** The records of the audit trail. Their types are among the options, because the option `audit` takes a sink. */
export type {
  AuditOutcome,
  AuditRecord,
  AuditRecordType,
  AuditSink,
} from '../options/audit-records.js';
