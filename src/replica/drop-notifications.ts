interface Notifying {
  transport?: unknown;
  notification(...args: unknown[]): Promise<void>;
}

/**
 * Makes a discarded server drop the notifications that it still sends (from its own timer, for instance), and calls
 * `onDropped` for each. Without this, the SDK rejects with "Not connected". That rejection is often not handled, and would
 * end the process with all its sessions. A server that its factory connects again sends as before.
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
