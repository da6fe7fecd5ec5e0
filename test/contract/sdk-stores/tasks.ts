import { describe, expect, it } from 'vitest';
import { LOOK_HOLDS_MS } from '../../../src/backplane/index.js';
import { useRig, type OpenStore } from '../suite/rig.js';

export function describeTasks(openStore: OpenStore): void {
  describe('a task of a dead node', () => {
    const rig = useRig(openStore);

    it('fails if the look at its node is recent, and stays as it is if not', async () => {
      const { a, b } = rig;
      const { sdkStores } = a.backplane;
      const id = `task-${a.id}`;
      const at = new Date().toISOString();
      const task = { id, sessionId: 's', ttlMs: 60_000, createdAt: at, method: 'tools/call' };
      await sdkStores?.tasks.create({ ...task, pollIntervalMs: 1_000 }, 10);
      const failed = {
        ...{ id, sessionId: 's', status: 'failed' as const, statusMessage: 'gone', at },
        ...{ result: undefined, onlyIf: a.id },
      };
      const now = await b.backplane.timeOf(id);
      const tasks = b.backplane.sdkStores?.tasks;
      expect(await tasks?.change({ ...failed, lookedAt: now - LOOK_HOLDS_MS - 1 })).toEqual({
        ...{ status: 'final', was: 'working' },
      });
      expect(await tasks?.change({ ...failed, lookedAt: now })).toEqual({
        status: 'changed',
      });
    });
  });

  // Bug: one step took all messages of a queue, which kept Redis busy for 150 ms at 1,000 messages of 8 kB.
  describe('the queue of a task', () => {
    const rig = useRig(openStore);

    it('returns all of its messages in order, however many there are', async () => {
      const tasks = rig.a.backplane.sdkStores?.tasks;
      const messages = Array.from({ length: 250 }, (_, at) => `${at}`.padEnd(4_000, 'x'));
      for (const message of messages) await tasks?.push('queued', message, 1_000);
      expect(await rig.b.backplane.sdkStores?.tasks.popAll('queued', undefined)).toEqual(messages);
      expect(await tasks?.popAll('queued', undefined)).toEqual([]);
    });
  });
}
