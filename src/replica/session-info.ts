import type { SessionRecord } from '../backplane/backplane.js';
import { isUninitialized } from './session-shape.js';
import { isObject } from '../protocol/json/jsonrpc.js';
import { parseStored } from '../protocol/json/parse-stored.js';
import type { SessionInfo } from '../options/public-types.js';

export function infoOf(record: SessionRecord): SessionInfo {
  const params = paramsOf(record);
  const { clientInfo, capabilities, protocolVersion } = params ?? {};
  return {
    id: record.id,
    state: record.active ? 'active' : 'initialized',
    clientInfo: clientInfoOf(clientInfo),
    clientCapabilities: isObject(capabilities) ? capabilities : {},
    protocolVersion: isUninitialized(record) ? textOf(protocolVersion) : record.protocolVersion,
    createdAt: record.createdAt,
    lastSeenAt: record.lastSeenAt,
    logLevel: record.logLevel,
    subscriptions: record.subscriptions,
    errors: record.errors,
    principal: principalOf(record.principal),
    owner: record.owner,
    ...(params === undefined && { unreadable: true }),
  };
}

/** Returns the value of the option `principal` from its stored form. HTTP+SSE sessions have a prefix in front of it. */
export function principalOf(stored: string): string | undefined {
  return /^(?:sse:)?as:(.*)$/s.exec(stored)?.[1];
}

/** Returns `undefined` if this node cannot decode the params: it has no codec, or not the keys. */
function paramsOf({ initialize, unreadable }: SessionRecord): Record<string, unknown> | undefined {
  const value = unreadable === true ? undefined : parseStored(initialize);
  return isObject(value) ? value : undefined;
}

/**
 * Returns the client's `clientInfo`, with name and version as texts. A server behind `upstream` may not have checked their
 * types.
 */
function clientInfoOf(value: unknown): SessionInfo['clientInfo'] {
  const said = isObject(value) ? value : {};
  return { ...said, name: textOf(said.name), version: textOf(said.version) };
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return value === undefined ? '' : JSON.stringify(value);
}
