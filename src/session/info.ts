import type { LogEntry, SessionRecord } from '../backplane/backplane.js';
import type { JsonRpcMessage } from '../protocol/jsonrpc.js';
import { isUninitialized } from './shape.js';
import type { SessionEvent, SessionInfo } from './types.js';

interface InitializeParams {
  clientInfo?: SessionInfo['clientInfo'];
  capabilities?: Record<string, unknown>;
  protocolVersion?: string;
}

export function infoOf(record: SessionRecord): SessionInfo {
  const {
    clientInfo,
    capabilities,
    protocolVersion = '',
  } = JSON.parse(record.initialize) as InitializeParams;
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
  };
}

export function eventOf({ logId, at, direction, stream, message }: LogEntry): SessionEvent {
  return {
    id: logId,
    at,
    direction,
    stream,
    message: message === undefined ? undefined : (JSON.parse(message) as JsonRpcMessage),
  };
}
