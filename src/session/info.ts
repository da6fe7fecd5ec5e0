import type { SessionRecord } from '../backplane/backplane.js';
import { isUninitialized } from './shape.js';
import type { SessionInfo } from './types.js';

interface InitializeParams {
  clientInfo?: SessionInfo['clientInfo'];
  capabilities?: Record<string, unknown>;
  protocolVersion?: string;
}

export function infoOf(record: SessionRecord): SessionInfo {
  const params = paramsOf(record);
  const { clientInfo, capabilities, protocolVersion = '' } = params ?? {};
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
    ...(params === undefined && { unreadable: true }),
  };
}

/** `undefined`: they are not readable here: encoded, with keys that this node does not have, or it has no codec at all. */
function paramsOf({ initialize, unreadable }: SessionRecord): InitializeParams | undefined {
  if (unreadable === true) return undefined;
  try {
    return JSON.parse(initialize) as InitializeParams;
  } catch {
    return undefined;
  }
}
