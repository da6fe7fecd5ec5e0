import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { Broadcasts } from '../../../src/backplane/index.js';
import { KEPT_BROADCASTS } from '../../../src/backplane/index.js';
import type { OpenStore, TestNode } from '../suite/rig.js';
import { eventually, useRig } from '../suite/rig.js';

export function broadcastsOf(node: TestNode): Broadcasts {
  const { sdkStores } = node.backplane;
  if (sdkStores === undefined) throw new Error('This backplane has no stores of the SDK');
  return sdkStores.broadcasts;
}

/** Collects the broadcasts that a node gets from now on. */
export function ear(node: TestNode) {
  const texts: string[] = [];
  let gaps = 0;
  const stop = broadcastsOf(node).listen({
    onText: (text) => texts.push(text),
    onGap: () => (gaps += 1),
  });
  return { texts, stop, gaps: () => gaps };
}

export function describeBroadcasts(openStore: OpenStore): void {
  describe('a broadcast', () => {
    const rig = useRig(openStore);

    it('reaches every other node that listens once, in the same order on each', async () => {
      const [a, b, c] = [ear(rig.a), ear(rig.b), ear(rig.c)];
      for (let at = 0; at < 20; at += 1) await broadcastsOf(rig.a).publish(`a${at}`);
      await Promise.all(
        [rig.a, rig.b].map(async (node, from) => {
          for (let at = 0; at < 20; at += 1) await broadcastsOf(node).publish(`${from} ${at}`);
        }),
      );
      await eventually(() => {
        expect(c.texts).toHaveLength(60);
      });
      expect(c.texts.slice(0, 20)).toEqual(Array.from({ length: 20 }, (_, at) => `a${at}`));
      await eventually(() => {
        expect(b.texts).toEqual(c.texts.filter((text) => !text.startsWith('1 ')));
        expect(a.texts).toEqual(c.texts.filter((text) => text.startsWith('1 ')));
      });
      expect([a.gaps(), b.gaps(), c.gaps()]).toEqual([0, 0, 0]);
    });

    it('that was published before a node listens does not reach it', async () => {
      await broadcastsOf(rig.a).publish('before');
      // A broadcast of the last few milliseconds may still come, since the clocks of two nodes differ.
      await sleep(500);
      const b = ear(rig.b);
      await broadcastsOf(rig.a).publish('after');
      await eventually(() => {
        expect(b.texts).toEqual(['after']);
      });
    });

    it('does not reach a node that has stopped listening', async () => {
      const [b, c] = [ear(rig.b), ear(rig.c)];
      await broadcastsOf(rig.a).publish('one');
      await eventually(() => {
        expect(b.texts).toEqual(['one']);
      });
      b.stop();
      b.stop();
      await broadcastsOf(rig.a).publish('two');
      await eventually(() => {
        expect(c.texts).toEqual(['one', 'two']);
      });
      expect(b.texts).toEqual(['one']);
    });

    it('arrives unchanged when it is large or has unusual characters', async () => {
      const b = ear(rig.b);
      const texts = ['x'.repeat(200_000), 'two\nlines', '', 'ü😀'];
      for (const text of texts) await broadcastsOf(rig.a).publish(text);
      await eventually(() => {
        expect(b.texts).toEqual(texts);
      });
    });

    it('arrives once when many are published at the same time', async () => {
      const b = ear(rig.b);
      const count = KEPT_BROADCASTS / 2;
      await Promise.all(
        Array.from({ length: count }, (_, at) => broadcastsOf(rig.a).publish(String(at))),
      );
      await eventually(() => {
        expect(b.texts).toHaveLength(count);
      });
      expect(new Set(b.texts).size).toBe(count);
      expect(b.gaps()).toBe(0);
    });

    it('is refused when its node has left', async () => {
      const node = await rig.join();
      ear(node);
      await node.backplane.leave();
      await expect(broadcastsOf(node).publish('late')).rejects.toMatchObject({ code: 'closed' });
    });
  });
}
