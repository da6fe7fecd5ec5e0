import { describe, expect, it } from 'vitest';
import { useRig, type OpenStore } from './rig.js';

export function describeState(openStore: OpenStore): void {
  describe("the application's state", () => {
    const rig = useRig(openStore);

    it('is empty at first, and shared by all nodes', async () => {
      const { a, b } = rig;
      const id = await a.create();
      expect(await b.membership.loadState(id)).toEqual({ version: 0, value: undefined });
      expect(await a.membership.storeState(id, '{"n":1}', 0)).toBe('stored');
      expect(await b.membership.loadState(id)).toEqual({ version: 1, value: '{"n":1}' });
      expect(await b.membership.storeState(id, '', undefined)).toBe('stored');
      expect(await a.membership.loadState(id)).toEqual({ version: 2, value: '' });
      expect((await a.membership.load(id))?.revision).toBe(1);
    });

    // Id read, incremented in JavaScript, written: two nodes at once, and one increment is lost.
    it('counts every increment of nodes that compete', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      const increment = async ({ membership }: typeof a) => {
        for (;;) {
          const state = await membership.loadState(id);
          const next = String(Number(state?.value ?? 0) + 1);
          if ((await membership.storeState(id, next, state?.version)) === 'stored') return;
        }
      };
      await Promise.all(
        [a, b, c].flatMap((node) => Array.from({ length: 8 }, () => increment(node))),
      );
      expect(await a.membership.loadState(id)).toEqual({ version: 24, value: '24' });
    });

    // Both count from the same number, so both store the same text: the second must not pass for a repeat of the first.
    it('conflicts also where the value would be the same', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.membership.storeState(id, '5', undefined);
      expect(await a.membership.storeState(id, '6', 1)).toBe('stored');
      expect(await b.membership.storeState(id, '6', 1)).toBe('conflict');
      expect(await a.membership.storeState(id, '6', 1)).toBe('conflict');
      expect(await b.membership.storeState(id, '7', 3)).toBe('conflict');
      expect(await b.membership.loadState(id)).toEqual({ version: 2, value: '6' });
    });

    it('ends with its session', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.membership.storeState(id, '1', undefined);
      await a.membership.remove(id, 'alice');
      expect(await b.membership.storeState(id, '2', undefined)).toBe('gone');
      expect(await b.membership.storeState(id, '2', 1)).toBe('gone');
      expect(await b.membership.loadState(id)).toBeUndefined();
    });
  });
}
