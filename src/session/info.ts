import type { SessionRecord } from '../backplane/backplane.js';
import { isUninitialized } from './shape.js';
import type { SessionInfo } from './types.js';

interface InitializeParams {
  clientInfo?: SessionInfo['clientInfo'];
  capabilities?: Record<string, unknown>;
  protocolVersion?: string;
}

export function infoOf(record: SessionRecord): SessionInfo {
  const unreadable = record.unreadable === true;
  const {
    clientInfo,
    capabilities,
    protocolVersion = '',
  } = unreadable ? ({} as InitializeParams) : (JSON.parse(record.initialize) as InitializeParams);
  return {
    id: record.id,
    state: record.active ? 'active' : 'initialized',
    clientInfo: clientInfo ?? { name: '', version: '' },
    clientCapabilities: capabilities ?? {},
    protocolVersion: isUninitialized(record) ? protocolVersion : record.protocolVersion,
    createdAt: record.createdAt,
    lastSeenAt: record.lastSeenAt,
    logLevel: record.logLevel,
    subscriptions: record.subscriptions,
    owner: record.owner,
    ...(unreadable && { unreadable }),
  };
}
