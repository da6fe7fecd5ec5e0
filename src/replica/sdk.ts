/** What is taken from the SDK itself, so that the two cannot disagree. */
import {
  DEFAULT_NEGOTIATED_PROTOCOL_VERSION,
  isInitializeRequest,
  SUPPORTED_PROTOCOL_VERSIONS,
} from '@modelcontextprotocol/sdk/types.js';

export { DEFAULT_NEGOTIATED_PROTOCOL_VERSION, isInitializeRequest, SUPPORTED_PROTOCOL_VERSIONS };

interface Notifying {
  transport?: unknown;
  notification(...args: unknown[]): Promise<void>;
}

/**
 * Makes a server that is discarded drop the notifications that it goes on sending (from a timer of its own, say), and calls
 * `onDropped` for each. The SDK rejects with "Not connected", which nobody looks at: that ended the process, with all of its
 * sessions. A server that its factory connects once more sends as before.
 */
export function dropNotifications(server: object, onDropped: () => void): void {
  const { server: inner } = server as { server?: unknown };
  const protocol = (typeof inner === 'object' && inner !== null ? inner : server) as Notifying;
  const { notification } = protocol as Partial<Notifying>;
  if (typeof notification !== 'function') return;
  protocol.notification = (...args) => {
    if (protocol.transport !== undefined) return notification.apply(protocol, args);
    onDropped();
    return Promise.resolve();
  };
}

/** Clients before it choke on an event without data. */
export const FIRST_VERSION_WITH_PRIMING = '2025-11-25';
