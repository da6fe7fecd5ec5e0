import type {
  EventId,
  EventStore,
  StreamId,
} from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import type { Redis } from 'ioredis';

/** The same number as for anynode in these benchmarks. */
const MAX_EVENTS = 20_000;

/**
 * An `EventStore` of the SDK, as a user would write it for Redis: one stream per session, and one `XADD` per event. The
 * Redis client sends it together with those of other sessions (`enableAutoPipelining`). It is the simplest store that
 * works: events do not expire, and nothing prevents that an event is stored twice.
 */
export class RedisEventStore implements EventStore {
  readonly #redis: Redis;
  readonly #key: string;

  constructor(redis: Redis, key: string) {
    this.#redis = redis;
    this.#key = key;
  }

  async storeEvent(stream: StreamId, message: JSONRPCMessage): Promise<EventId> {
    const fields = ['s', stream, 'm', JSON.stringify(message)];
    const id = await this.#redis.xadd(this.#key, 'MAXLEN', '~', MAX_EVENTS, '*', ...fields);
    if (id === null) throw new Error('Redis gave the event no id');
    return id;
  }

  async getStreamIdForEventId(id: EventId): Promise<StreamId | undefined> {
    const [found] = await this.#redis.xrange(this.#key, id, id);
    return found?.[1][1];
  }

  async replayEventsAfter(
    id: EventId,
    { send }: { send: (id: EventId, message: JSONRPCMessage) => Promise<void> },
  ): Promise<StreamId> {
    const stream = await this.getStreamIdForEventId(id);
    if (stream === undefined) throw new Error(`No event has the id ${id}`);
    for (const [at, [, of, , text = '']] of await this.#redis.xrange(this.#key, `(${id}`, '+')) {
      const message = JSON.parse(text) as JSONRPCMessage;
      // A priming event is stored as an empty object. It has an id, but nothing to show.
      if (of === stream && 'jsonrpc' in message) await send(at, message);
    }
    return stream;
  }

  async clear(): Promise<void> {
    await this.#redis.del(this.#key);
  }
}
