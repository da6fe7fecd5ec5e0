import type { Membership } from '../backplane/backplane.js';
import type { SdkStoreAccess } from '../backplane/sdk-store-access.js';
import { randomNodeId } from '../protocol/node-id.js';
import { NodeWatch } from '../stream/node-watch.js';
import type { AnynodeOptions } from '../options/options.js';
import { AnynodeError } from '../protocol/errors.js';
import { backplaneOf, encodedWith, oneOf, positive, rejectUnknown } from '../options/options.js';
import { systemClock } from '../protocol/clock.js';
import type { Clock } from '../protocol/clock.js';
import type { Logger } from '../options/types.js';
import { unheld, unheldMethods } from '../protocol/unheld.js';
import { eventStore } from './event-store.js';
import type { Questions } from './questions.js';
import { serverEventBus } from './server-event-bus.js';
import { taskMessageQueue } from './task-message-queue.js';
import { taskStore } from './task-store.js';
import type { SdkStores, ServerEvent, TaskOptions } from './store-types.js';
import { ResultWaits } from './result-waits.js';

/** Options of `sdkStores()`. Those that are not listed here are as for `anynode()`, with the same defaults. */
export interface SdkStoresOptions extends Pick<
  AnynodeOptions,
  'redis' | 'backplane' | 'prefix' | 'leaseMs' | 'commandTimeoutMs' | 'codec' | 'logger'
> {
  /**
   * How much of what an `eventStore` is given is kept per session: the number of events, their age, and their bytes
   * together. A task's queue has at most `maxEvents` messages. Default 10,000, 1 hour and 64 MiB.
   */
  retention?: { maxEvents?: number; maxAgeMs?: number; maxBytes?: number } | undefined;
  /** What becomes of the tasks in `taskStore`. */
  tasks?: TaskOptions | undefined;
}

const KNOWN: Record<keyof SdkStoresOptions, true> = {
  redis: true,
  backplane: true,
  prefix: true,
  leaseMs: true,
  commandTimeoutMs: true,
  retention: true,
  tasks: true,
  codec: true,
  logger: true,
};

const HOUR = 3_600_000;
const MIB = 1024 * 1024;

/**
 * The SDK's stores on a backplane, without the middleware. Whoever is given the same `redis` and `prefix` shares
 * what is in them, nodes with the middleware included.
 *
 * Returns at once, and connects when the first of them is used. Throws a `TypeError` for options that make no sense.
 */
export function sdkStores(given: SdkStoresOptions): SdkStores & { close(): Promise<void> } {
  rejectUnknown(given, KNOWN);
  const backplane = encodedWith(given.codec, backplaneOf(given));
  const logger = given.logger ?? console;
  const retention = given.retention ?? {};
  const settings = {
    leaseMs: positive(given, 'leaseMs', 10_000),
    commandTimeoutMs: positive(given, 'commandTimeoutMs', 2_000),
    retention: {
      maxEvents: positive(retention, 'maxEvents', 10_000),
      maxAgeMs: positive(retention, 'maxAgeMs', HOUR),
      maxBytes: positive(retention, 'maxBytes', 64 * MIB),
    },
  };
  const nodeId = randomNodeId();
  const {
    leaseMs,
    retention: { maxEvents },
  } = settings;
  const tasks = resolveTasks(given.tasks);
  let membership: Membership | undefined;
  let closed = false;
  const join = (): Membership => {
    if (closed) throw new AnynodeError('closed', 'These stores were closed before they were used');
    return backplane.join({
      ...settings,
      nodeId,
      clock: systemClock,
      // It has no sessions.
      sessionTtlMs: 24 * HOUR,
      pendingTtlMs: HOUR,
      onMessage: () => undefined,
      onLapse: () => undefined,
      onLost: () => undefined,
      logger,
    });
  };
  const joined = (): Membership => (membership ??= join());
  const watch = new NodeWatch({ nodeId, membership: joined, clock: systemClock, leaseMs });
  const opened = sdkStoresOn(joined, {
    ...{ nodeId, clock: systemClock, watch, maxEvents, tasks, logger },
  });
  return {
    ...opened.parts,
    close: () => {
      closed = true;
      opened.close();
      watch.close();
      return unheld(membership?.leave() ?? Promise.resolve());
    },
  };
}

export interface SdkStoresSettings {
  nodeId: string;
  clock: Clock;
  watch: NodeWatch;
  /** Of a task's queue, too. */
  maxEvents: number;
  tasks: ResolvedTasks;
  logger: Logger;
  /** With the middleware only. */
  questions?: Questions;
  hold?: (sessionId: string) => () => void;
}

/** The stores of a node whose membership there is, or will be when it is asked for. */
export function sdkStoresOn(
  membership: () => Membership,
  settings: SdkStoresSettings,
): { parts: SdkStores; announce: (event: ServerEvent) => Promise<void>; close(): void } {
  const store = (): SdkStoreAccess => {
    const { sdkStores: given } = membership();
    if (given === undefined) {
      throw new TypeError(
        'mcp-anynode: this backplane has no room for the stores of the SDK (`Membership.sdkStores`)',
      );
    }
    return given;
  };
  const { nodeId, clock, watch, logger, questions, hold = () => () => undefined } = settings;
  const waits = new ResultWaits();
  const bus = serverEventBus(() => store().broadcasts, logger);
  const tasks = taskStore({
    ...{ ...settings.tasks, nodeId, waits, clock, watch, hold },
    timeOf: (id) => membership().timeOf(id),
    tasks: () => store().tasks,
  });
  const queue = taskMessageQueue({
    ...{ nodeId, waits, questions, most: settings.maxEvents, logger },
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
    announce: (event) => bus.announce(event),
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

/** Throws a `TypeError` for what makes no sense. */
export function resolveTasks(given: TaskOptions = {}): ResolvedTasks {
  // By the names that they have where they were given.
  const tasks = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [`tasks.${name}`, value as unknown]),
  );
  rejectUnknown(tasks, TASKS);
  oneOf(tasks, 'tasks.orphans', ['fail', 'keep']);
  return {
    maxTtlMs: positive(tasks, 'tasks.maxTtlMs', 24 * HOUR),
    maxPerSession: positive(tasks, 'tasks.maxPerSession', 1000),
    failOrphans: given.orphans !== 'keep',
  };
}

const TASKS: Record<`tasks.${keyof TaskOptions}`, true> = {
  'tasks.maxTtlMs': true,
  'tasks.maxPerSession': true,
  'tasks.orphans': true,
};
