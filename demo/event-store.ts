import type {
  EventId,
  EventStore,
  StreamId,
} from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';

interface StoredEvent {
  stream: StreamId;
  message: JSONRPCMessage;
}

/**
 * The SDK's `EventStore` in an array, for one session of one process.
 *
 * Never for several sessions: the SDK calls the GET stream of each of them by the same name, so with a shared store
 * one session can resume another's stream.
 */
export class InMemoryEventStore implements EventStore {
  readonly #events: StoredEvent[] = [];

  storeEvent(stream: StreamId, message: JSONRPCMessage): Promise<EventId> {
    this.#events.push({ stream, message });
    return Promise.resolve(String(this.#events.length));
  }

  getStreamIdForEventId(id: EventId): Promise<StreamId | undefined> {
    return Promise.resolve(this.#events[Number(id) - 1]?.stream);
  }

  async replayEventsAfter(
    id: EventId,
    { send }: { send: (id: EventId, message: JSONRPCMessage) => Promise<void> },
  ): Promise<StreamId> {
    const stream = await this.getStreamIdForEventId(id);
    if (stream === undefined) throw new Error(`No event has the id ${id}`);
    for (let index = Number(id); index < this.#events.length; index++) {
      const event = this.#events[index];
      // A priming event is stored as an empty object: a position, with nothing to show.
      if (event?.stream === stream && 'jsonrpc' in event.message) {
        await send(String(index + 1), event.message);
      }
    }
    return stream;
  }
}
