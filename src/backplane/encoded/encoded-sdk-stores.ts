import { AnynodeError } from '../../protocol/errors.js';
import { BoundedMap } from '../../protocol/bounded-map.js';
import type { PayloadContext, Payloads } from './payloads.js';
import type { SealState } from './seals.js';
import { checkSeal, seal } from './seals.js';
import type {
  Broadcasts,
  ReplayPage,
  Replays,
  SdkStoreAccess,
  TaskRecord,
  Tasks,
} from '../sdk-store-access.js';

/**
 * Returns the SDK's stores with the texts of clients and servers encoded. Values that the steps look into are not encoded:
 * ids, names of streams, status, times and methods of tasks.
 */
export function encodedSdkStores(inner: SdkStoreAccess, payloads: Payloads): SdkStoreAccess {
  return {
    broadcasts: encodedBroadcasts(inner.broadcasts, payloads),
    replays: encodedReplays(inner.replays, payloads),
    tasks: encodedTasks(inner.tasks, payloads),
  };
}

function encodedBroadcasts(inner: Broadcasts, payloads: Payloads): Broadcasts {
  const context: PayloadContext = { sessionId: '', kind: 'server-event' };
  return {
    // This is async, so that an error of the codec becomes a rejection.
    publish: async (text) => inner.publish(payloads.encode(text, context)),
    listen: (listener) =>
      inner.listen({
        onText(text) {
          const decoded = payloads.decode(text, context, 'a server event');
          // An event was published that this node cannot decode.
          if (decoded === undefined) listener.onGap();
          else listener.onText(decoded);
        },
        onGap: () => listener.onGap(),
      }),
  };
}

function encodedReplays(inner: Replays, payloads: Payloads): Replays {
  const contextOf = (sessionId: string): PayloadContext => ({ sessionId, kind: 'replay' });
  /** The application names streams, with any characters. */
  const purposeOf = (stream: string): string => `replay ${encodeURIComponent(stream)}`;
  return {
    append: async (sessionId, stream, message) =>
      inner.append(
        sessionId,
        stream,
        payloads.encodeWithOrigin(message, contextOf(sessionId), purposeOf(stream)),
      ),
    /**
     * Reads a page up to the first event that cannot be decoded. The next page is `unreadable`, because no other event may
     * be shown in its place.
     */
    async read(sessionId, stream, after, maxBytes): Promise<ReplayPage> {
      const page = await inner.read(sessionId, stream, after, maxBytes);
      if (page.status !== 'ok') return page;
      const events: typeof page.events = [];
      const seen = new Set<string>();
      for (const { position, message } of page.events) {
        const where = `event ${position.logId} of an event store`;
        const opened = payloads.decodeWithOrigin(message, contextOf(sessionId), where);
        const origin = opened?.origin;
        const key = origin && `${origin.nodeId} ${origin.number}`;
        const isMoved =
          key !== undefined && (origin?.purpose !== purposeOf(stream) || seen.has(key));
        if (isMoved) payloads.warn(`${where} is not where the node that encoded it has put it`);
        if (opened === undefined || isMoved) {
          return events.length === 0 ? { status: 'unreadable' } : { ...page, events, more: true };
        }
        if (key !== undefined) seen.add(key);
        events.push({ position, message: opened.text });
      }
      return { ...page, events };
    },
  };
}

/** How many tasks are remembered. */
const KNOWN = 10_000;

type TaskKind = Extract<PayloadContext['kind'], `task-${string}`>;

function encodedTasks(inner: Tasks, payloads: Payloads): Tasks {
  // A task is looked up by its id alone. Its session may not be known before it is read.
  const contextOf = (taskId: string, kind: TaskKind) => ({ sessionId: '', kind, taskId });

  /** The sessions of tasks whose seals this node has verified. A task never changes its session, and its id is random. */
  const owners = new BoundedMap<string, string | undefined>(KNOWN);
  const verify = (record: TaskRecord): SealState => {
    const { id, sessionId } = record;
    if (owners.has(id)) return owners.get(id) === sessionId ? 'valid' : 'forged';
    const where = `the session of task ${id}`;
    const context = contextOf(id, 'task-session');
    const state = checkSeal(payloads, record.seal, ownershipOf(record), context, where);
    if (state === 'valid') owners.set(id, sessionId);
    return state;
  };

  /**
   * Decodes a record. The text of the status is left out if it cannot be decoded, because the status itself can be shown.
   * `undefined`: no node has given the task to this session.
   */
  const decoded = (stored: TaskRecord): TaskRecord | undefined => {
    const state = verify(stored);
    if (state === 'forged') return undefined;
    const { seal: _, ...record } = stored;
    const { id, statusMessage } = record;
    if (statusMessage === undefined || statusMessage === '') return record;
    const context = contextOf(id, 'task-status');
    const text =
      state === 'valid'
        ? payloads.decode(statusMessage, context, `the status of task ${id}`)
        : undefined;
    return { ...record, statusMessage: text };
  };

  /** True if a session may change a task and take its messages. With `undefined` the caller names no session. */
  const mayTouch = async (id: string, sessionId: string | undefined): Promise<boolean> => {
    if (sessionId === undefined) return true;
    if (!owners.has(id)) {
      const record = await inner.get(id);
      if (record === undefined) return true; // a queue may exist without a task
      const state = verify(record);
      if (state === 'unreadable') {
        const what = `The session and the queue of task ${id} cannot be decoded`;
        throw new AnynodeError('undecodable', what);
      }
      if (state !== 'valid') return false;
    }
    const owner = owners.get(id);
    return owner === undefined || owner === sessionId;
  };

  /**
   * Decodes messages that were taken from a queue. If one cannot be decoded, all go back, because another node may have the
   * key.
   */
  const opened = async (id: string, taken: string[]): Promise<string[]> => {
    const context = contextOf(id, 'task-message');
    try {
      return taken.map((text) =>
        payloads.decodeOrThrow(text, context, `A message in the queue of task ${id}`),
      );
    } catch (error) {
      if (error instanceof AnynodeError) await inner.putBack(id, taken);
      throw error;
    }
  };

  return {
    async create(task, most) {
      const context = contextOf(task.id, 'task-session');
      const sealed = { ...task, seal: seal(payloads, ownershipOf(task), context) };
      const created = await inner.create(sealed, most);
      if (created === 'created') owners.set(task.id, task.sessionId);
      return created;
    },
    async get(id) {
      const record = await inner.get(id);
      return record && decoded(record);
    },
    async result(id) {
      const found = await inner.result(id);
      if (found === undefined) return undefined;
      const record = decoded(found.record);
      if (record === undefined) return undefined;
      if (found.result === undefined) return { ...found, record };
      const context = contextOf(id, 'task-result');
      const result =
        verify(found.record) === 'valid'
          ? payloads.decode(found.result, context, `the result of task ${id}`)
          : undefined;
      return { record, result, ...(result === undefined && { unreadable: true }) };
    },
    async change(change) {
      const { id, statusMessage, result } = change;
      if (!(await mayTouch(id, change.sessionId))) return { status: 'gone' };
      const encode = (text: string | undefined, kind: TaskKind) =>
        text === undefined || text === '' ? text : payloads.encode(text, contextOf(id, kind));
      return inner.change({
        ...change,
        statusMessage: encode(statusMessage, 'task-status'),
        result: encode(result, 'task-result'),
      });
    },
    async list(sessionId, after, count) {
      const listed = await inner.list(sessionId, after, count);
      return listed.flatMap(({ record, order }) => {
        const shown = decoded(record);
        // An attacker may have changed the list itself.
        return shown !== undefined && shown.sessionId === sessionId
          ? [{ record: shown, order }]
          : [];
      });
    },
    push: async (id, message, most) =>
      inner.push(id, payloads.encode(message, contextOf(id, 'task-message')), most),
    async pop(id, sessionId) {
      const taken = (await mayTouch(id, sessionId)) ? await inner.pop(id, sessionId) : undefined;
      if (taken === undefined) return undefined;
      const [message] = await opened(id, [taken]);
      return message;
    },
    popAll: async (id, sessionId) =>
      (await mayTouch(id, sessionId)) ? opened(id, await inner.popAll(id, sessionId)) : [],
    putBack: async (id, messages) => {
      const context = contextOf(id, 'task-message');
      return inner.putBack(
        id,
        messages.map((text) => payloads.encode(text, context)),
      );
    },
  };
}

/** Returns the value that the seal of a task proves. */
function ownershipOf({ sessionId, method }: Pick<TaskRecord, 'sessionId' | 'method'>): string {
  return JSON.stringify([sessionId ?? null, method]);
}
