import { describe, expect, it } from 'vitest';
import { useRig, type OpenStore } from './rig.js';

export function describeState(openStore: OpenStore): void {
  describe("the application's state", () => {
    const rig = useRig(openStore);

    it('is empty at first, and the same on all nodes', async () => {
      const { a, b } = rig;
      const id = await a.create();
      expect(await b.backplane.loadState(id)).toEqual({ version: '', value: undefined });
      expect(await a.backplane.storeState(id, '{"n":1}', '')).toBe('stored');
      const first = await b.backplane.loadState(id);
      expect(first?.value).toBe('{"n":1}');
      expect(await b.backplane.storeState(id, '', undefined)).toBe('stored');
      const second = await a.backplane.loadState(id);
      expect(second?.value).toBe('');
      expect(new Set(['', first?.version, second?.version]).size).toBe(3);
      expect((await a.backplane.load(id))?.revision).toBe('1');
    });

    // If two nodes read the state, increment it and write it without a version, one increment is lost.
    it('counts every increment of nodes that write at the same time', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      const increment = async ({ backplane }: typeof a) => {
        for (;;) {
          const state = await backplane.loadState(id);
          const next = String(Number(state?.value ?? 0) + 1);
          if ((await backplane.storeState(id, next, state?.version)) === 'stored') return;
        }
      };
      await Promise.all(
        [a, b, c].flatMap((node) => Array.from({ length: 8 }, () => increment(node))),
      );
      expect((await a.backplane.loadState(id))?.value).toBe('24');
    });

    // Both nodes count up from the same number, so both store the same text. The second write must not pass for a
    // repeat of the first.
    it('reports a conflict for a second write of the same value', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.backplane.storeState(id, '5', undefined);
      const { version } = (await a.backplane.loadState(id)) ?? {};
      expect(await a.backplane.storeState(id, '6', version)).toBe('stored');
      expect(await b.backplane.storeState(id, '6', version)).toBe('conflict');
      expect(await a.backplane.storeState(id, '6', version)).toBe('conflict');
      expect(await b.backplane.storeState(id, '7', 'another')).toBe('conflict');
      expect(await b.backplane.storeState(id, '7', '')).toBe('conflict');
      expect((await b.backplane.loadState(id))?.value).toBe('6');
    });

    it('is gone when its session ends', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.backplane.storeState(id, '1', undefined);
      await a.backplane.remove(id, 'alice');
      expect(await b.backplane.storeState(id, '2', undefined)).toBe('gone');
      expect(await b.backplane.storeState(id, '2', '1')).toBe('gone');
      expect(await b.backplane.loadState(id)).toBeUndefined();
    });
  });
}
