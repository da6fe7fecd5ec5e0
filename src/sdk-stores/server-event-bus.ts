import type { Broadcasts } from '../backplane/sdk-store-access.js';
import type { Logger } from '../options/public-types.js';
import type { ServerEvent, ServerEventBus } from '../options/modern-option.js';

const LISTS = ['tools_list_changed', 'prompts_list_changed', 'resources_list_changed'] as const;

/** The event bus as a node has it. */
export interface NodeEventBus extends ServerEventBus {
  /** Like `publish`, but resolves when other nodes can hear the event, and rejects with `backplane_unavailable`. */
  announce(event: ServerEvent): Promise<void>;
  close(): void;
}

/** Makes a bus. `broadcasts` is called when it is first needed, and may throw. */
export function serverEventBus(broadcasts: () => Broadcasts, logger: Logger): NodeEventBus {
  const listeners = new Set<{ hear: (event: ServerEvent) => void }>();
  let stopListening: (() => void) | undefined;
  let closed = false;
  const tell = (event: ServerEvent): void => {
    for (const { hear } of [...listeners]) {
      try {
        hear(event);
      } catch (error) {
        // A listener that fails must not keep the event from the others.
        logger.error(`mcp-anynode: a listener of server events failed: ${String(error)}`);
      }
    }
  };
  const announce = (event: ServerEvent): Promise<void> => {
    const text = JSON.stringify(event);
    tell(event);
    return broadcasts().publish(text);
  };
  return {
    announce,
    publish(event) {
      announce(event).catch((error: unknown) => {
        const { kind } = event;
        logger.warn(`mcp-anynode: other nodes were not told of ${kind}: ${String(error)}`);
      });
    },
    subscribe(listener) {
      // The node closed while this subscription was on its way. It would never end.
      if (closed) return () => undefined;
      // The node listens until it closes. If it stopped and began anew with each client, it would miss events in between.
      stopListening ??= broadcasts().listen({
        onText: (text) => {
          const event = parse(text);
          if (event !== undefined) tell(event);
        },
        onGap: () => {
          logger.warn('mcp-anynode: server events were missed: clients are told of all lists');
          for (const kind of LISTS) tell({ kind });
        },
      });
      const own = { hear: listener };
      listeners.add(own);
      return () => listeners.delete(own);
    },
    close() {
      closed = true;
      listeners.clear();
      stopListening?.();
    },
  };
}

/**
 * Parses an event. `undefined`: its kind is unknown, as those of a newer release may be, or it was not written by this
 * library.
 */
function parse(text: string): ServerEvent | undefined {
  try {
    const event = JSON.parse(text) as ServerEvent;
    if (event.kind === 'resource_updated') return typeof event.uri === 'string' ? event : undefined;
    return LISTS.includes(event.kind) ? event : undefined;
  } catch {
    return undefined;
  }
}
