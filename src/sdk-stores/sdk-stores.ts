import type { JoinedBackplane } from '../backplane/backplane.js';
import type { SdkStoreAccess } from '../backplane/sdk-store-access.js';
import { randomNodeId } from '../protocol/node-id.js';
import { NodeWatch } from '../stream/node-watch.js';
import type { AnynodeOptions } from '../options/anynode-options.js';
import { backplaneOf } from '../options/backplane-option.js';
import type { Reader } from '../options/option-readers.js';
import { oneOf, positive, readOptions } from '../options/option-readers.js';
import { OPTIONS } from '../options/options.js';
import { AnynodeError } from '../protocol/errors.js';
import { systemClock } from '../protocol/timing/clock.js';
import type { Clock } from '../protocol/timing/clock.js';
import type { Logger, TaskOptions } from '../options/public-types.js';
import { unheld, unheldMethods } from '../protocol/unheld.js';
import { eventStore } from './event-store.js';
import type { Questions } from './questions.js';
import type { NodeEventBus } from './server-event-bus.js';
import { serverEventBus } from './server-event-bus.js';
import { taskMessageQueue } from './task-message-queue.js';
import { taskStore } from './task-store.js';
import type { SdkStores } from './store-types.js';

/** Options of `sdkStores()`. Options that are not described here are those of `anynode()`, with the same defaults. */
export interface SdkStoresOptions extends Pick<
  AnynodeOptions,
  'redis' | 'backplane' | 'prefix' | 'leaseMs' | 'commandTimeoutMs' | 'codec' | 'logger'
> {
  /**
   * How many events of an `eventStore` are kept per session, how long, and how many bytes together. A task's queue has at
   * most `maxEvents` messages. Default 10,000, 1 hour and 64 MiB.
   */
  retention?: { maxEvents?: number; maxAgeMs?: number; maxBytes?: number } | undefined;
  /** Options of `taskStore`. */
  tasks?: TaskOptions | undefined;
}

const STORE_OPTIONS = {
  redis: OPTIONS.redis,
  backplane: OPTIONS.backplane,
  prefix: OPTIONS.prefix,
  leaseMs: OPTIONS.leaseMs,
  commandTimeoutMs: OPTIONS.commandTimeoutMs,
  codec: OPTIONS.codec,
  logger: OPTIONS.logger,
  retention: OPTIONS.retention,
  tasks: OPTIONS.tasks,
} satisfies Record<keyof SdkStoresOptions, Reader<unknown>>;

const HOUR = 3_600_000;

/**
 * Makes the SDK's stores on a backplane, without the middleware. All nodes with the same `redis` and `prefix` share the
 * content of the stores, also nodes with the middleware.
 *
 * Returns at once, and connects when a store is first used. Throws a `TypeError` for options that make no sense.
 */
export function sdkStores(given: SdkStoresOptions): SdkStores & { close(): Promise<void> } {
  const read = readOptions(STORE_OPTIONS, given);
  const { leaseMs, commandTimeoutMs, retention, logger } = read;
  const { maxEvents } = retention;
  const backplane = backplaneOf(read);
  const nodeId = randomNodeId();
  const tasks = resolveTasks(read.tasks);
  let joined: JoinedBackplane | undefined;
  let closed = false;
  const join = (): JoinedBackplane => {
    if (closed) throw new AnynodeError('closed', 'These stores were closed before they were used');
    return backplane.join({
      ...{ leaseMs, commandTimeoutMs, retention, nodeId },
      clock: systemClock,
      // These stores have no sessions, so these values have no effect.
      sessionTtlMs: 24 * HOUR,
      pendingTtlMs: HOUR,
      onMessage: () => undefined,
      onLapse: () => undefined,
      onLost: () => undefined,
      logger,
    });
  };
  const joinOnce = (): JoinedBackplane => (joined ??= join());
  const watch = new NodeWatch({ nodeId, backplane: joinOnce, clock: systemClock, leaseMs });
  const opened = sdkStoresOn(joinOnce, {
    ...{ nodeId, clock: systemClock, watch, maxEvents, tasks, logger },
    bus: serverEventBusOn(joinOnce, logger),
  });
  return {
    ...opened.parts,
    close: () => {
      closed = true;
      opened.close();
      watch.close();
      return unheld(joined?.leave() ?? Promise.resolve());
    },
  };
}

export interface SdkStoresSettings {
  nodeId: string;
  clock: Clock;
  watch: NodeWatch;
  /** The most events of a session, and the most messages of a task's queue. */
  maxEvents: number;
  tasks: ResolvedTasks;
  logger: Logger;
  bus: NodeEventBus;
  /** Given only with the middleware. */
  questions?: Questions;
  hold?: (sessionId: string) => () => void;
}

function storesOf({ sdkStores }: JoinedBackplane): SdkStoreAccess {
  if (sdkStores !== undefined) return sdkStores;
  throw new TypeError(
    'mcp-anynode: this backplane has no room for the stores of the SDK (`JoinedBackplane.sdkStores`)',
  );
}

/** Makes the event bus of a node. `backplane` is called when the bus is first used. */
export function serverEventBusOn(backplane: () => JoinedBackplane, logger: Logger): NodeEventBus {
  return serverEventBus(() => storesOf(backplane()).broadcasts, logger);
}

/** Makes the stores of a node. `backplane` is called when a store is first used. */
export function sdkStoresOn(
  backplane: () => JoinedBackplane,
  settings: SdkStoresSettings,
): { parts: SdkStores; close(): void } {
  const store = (): SdkStoreAccess => storesOf(backplane());
  const { nodeId, clock, watch, logger, bus, questions, hold = () => () => undefined } = settings;
  const tasks = taskStore({
    ...{ ...settings.tasks, nodeId, clock, watch, hold },
    timeOf: (id) => backplane().timeOf(id),
    tasks: () => store().tasks,
  });
  const queue = taskMessageQueue({
    ...{ nodeId, questions, most: settings.maxEvents, logger },
    tasks: () => store().tasks,
  });
  return {
    parts: {
      eventStore: (sessionId) => {
        if (typeof sessionId !== 'string' || sessionId === '') {
          throw new TypeError('mcp-anynode: `eventStore` is for one session, and needs its id');
        }
        return unheldMethods(eventStore(() => store().replays, sessionId));
      },
      taskStore: unheldMethods(tasks),
      taskMessageQueue: unheldMethods(queue),
      serverEventBus: bus,
    },
    close() {
      bus.close();
      tasks.close();
    },
  };
}

export interface ResolvedTasks {
  maxTtlMs: number;
  maxPerSession: number;
  failOrphans: boolean;
}

const TASK_OPTIONS = {
  maxTtlMs: positive(24 * HOUR),
  maxPerSession: positive(1000),
  orphans: oneOf('fail', 'keep'),
} satisfies Record<keyof TaskOptions, Reader<unknown>>;

/** Reads the options of tasks. Throws a `TypeError` for options that make no sense. */
export function resolveTasks(given: TaskOptions = {}): ResolvedTasks {
  const { orphans, ...tasks } = readOptions(TASK_OPTIONS, given, 'tasks.');
  return { ...tasks, failOrphans: orphans === 'fail' };
}
