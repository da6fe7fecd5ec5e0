import type { JoinOptions } from '../backplane.js';
import type { BroadcastListener, Broadcasts, SdkStoreAccess } from '../sdk-store-access.js';
import { MemoryEventStore } from './memory-event-store.js';
import { MemoryTasks } from './memory-tasks.js';

/** Carries out one step of a node, if the node has not left. */
export type Step = <T>(run: (now: number) => T) => Promise<T>;

/** The SDK's stores of all nodes that share a memory backplane. */
export class MemorySdkStores {
  private readonly listeners = new Map<string, Set<BroadcastListener>>();
  private readonly replays = new MemoryEventStore();
  private readonly tasks = new MemoryTasks();

  of(options: JoinOptions, step: Step): SdkStoreAccess {
    return {
      broadcasts: this.broadcasts(options.nodeId, step),
      replays: this.replays.of(options, step),
      tasks: this.tasks.of(options, step),
    };
  }

  leave(nodeId: string): void {
    this.listeners.delete(nodeId);
  }

  private broadcasts(nodeId: string, step: Step): Broadcasts {
    const { listeners } = this;
    return {
      publish: (text) =>
        step(() => {
          for (const [node, heard] of listeners) {
            if (node === nodeId) continue;
            for (const listener of heard) {
              // Deliver in a later turn of the event loop, as a network would. The subscription may have ended by then.
              setImmediate(() => {
                if (listeners.get(node)?.has(listener) === true) listener.onText(text);
              });
            }
          }
        }),
      listen: (listener) => {
        const own = listeners.get(nodeId) ?? new Set();
        listeners.set(nodeId, own.add(listener));
        return () => own.delete(listener);
      },
    };
  }
}
