import { describe, expect, it } from 'vitest';
import { LOG_START, STANDALONE } from '../../../src/backplane/index.js';
import {
  ALICE,
  append,
  BEGINNING,
  detach,
  eventually,
  open,
  receive,
  useRig,
  type OpenStore,
  type TestNode,
} from './rig.js';

export function describeEnds(openStore: OpenStore): void {
  describe('the end of a session', () => {
    const rig = useRig(openStore);

    /** Does everything that a node may still be about to do when its session ends, and returns the outcomes. */
    async function lateWrites(node: TestNode, id: string) {
      return [
        await node.commit(id, append('p', 'late', { ends: '1' })),
        await node.commit(id, append(STANDALONE, 'late')),
        await node.commit(id, open('q', ['2'])),
        await node.commit(id, receive({ to: 'initialized' })),
        await node.commit(id, detach(STANDALONE, 't1'), { type: 'forget' }),
        await node.commit(id, { type: 'abandon', stream: 'p', requests: ['1'] }),
        await node.attach(id, STANDALONE),
        await node.backplane.storeState(id, '1', undefined).then((status) => ({ status })),
        ...(await node.backplane.touch([
          { sessionId: id, streams: [{ stream: STANDALONE, token: 't1', position: BEGINNING }] },
        ])),
        await node.backplane.read({
          sessionId: id,
          stream: STANDALONE,
          after: BEGINNING,
          maxBytes: 1,
        }),
      ].map(({ status }) => status);
    }

    async function expectNothingLeft(node: TestNode, id: string) {
      expect(await node.backplane.load(id)).toBeUndefined();
      expect(await node.backplane.loadState(id)).toBeUndefined();
      expect(await node.backplane.history(id, LOG_START, 10)).toEqual([]);
      expect((await node.backplane.list(undefined, 10)).ids).not.toContain(id);
    }

    // With the SDK alone, a DELETE that reaches a node without the session is answered with 200, and the other nodes go on
    // serving the session.
    it('is told to every node that has a replica, an open stream or a running call of it', async () => {
      const { a, b, c } = rig;
      const d = await rig.join();
      const id = await a.create();
      await b.run(id, open('p', ['1'], { revision: '1' }));
      await c.hold(id, STANDALONE);
      expect(await d.backplane.remove(id, ALICE)).toBe(true);
      const gone = { type: 'gone', sessionId: id };
      for (const node of [a, b, c]) expect(await node.next('gone')).toEqual(gone);
      expect(await d.backplane.remove(id, ALICE)).toBe(false);
    });

    // A touch or a late answer must not create a session again whose end was acknowledged.
    it('by DELETE refuses every later step of every node', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await b.run(id, open('p', ['1']));
      await b.hold(id, STANDALONE);
      await c.backplane.remove(id, ALICE);
      for (const node of [a, b])
        expect(new Set(await lateWrites(node, id))).toEqual(new Set(['gone']));
      for (const node of [a, b, c]) await expectNothingLeft(node, id);
    });

    it('by expiry refuses every later step of every node', async () => {
      const short = { sessionTtlMs: 700, pendingTtlMs: 700 };
      const [a, b] = [await rig.join(short), await rig.join(short)];
      const id = await a.create();
      await b.run(id, open('p', ['1']));
      await eventually(async () => {
        expect(await a.backplane.load(id)).toBeUndefined();
      });
      expect(new Set(await lateWrites(b, id))).toEqual(new Set(['gone']));
      expect(await a.backplane.load(id)).toBeUndefined();
      expect(await a.backplane.remove(id, ALICE)).toBe(false);
    });

    // Writes and a DELETE run at the same time. In whichever order they are carried out, nothing is left of the
    // session.
    it('leaves nothing behind when writes run at the same time', async () => {
      const { a, b, c } = rig;
      for (let round = 0; round < 5; round += 1) {
        const id = await a.create();
        await Promise.all([
          a.commit(id, append(STANDALONE, 'news')),
          b.attach(id, STANDALONE),
          c.backplane.remove(id, ALICE),
          b.backplane.touch([{ sessionId: id, streams: [] }]),
          a.backplane.storeState(id, '1', undefined),
          b.commit(id, open('p', ['1'])),
        ]);
        await expectNothingLeft(b, id);
      }
    });

    it('leaves other sessions as they are', async () => {
      const { a, b } = rig;
      const [one, two] = await Promise.all([a.create(), a.create()]);
      await b.run(two, open('p', ['1']));
      await b.backplane.remove(one, ALICE);
      expect(await b.say(two, 'p', 'answer', { ends: '1' })).toMatchObject({ ended: true });
      expect((await a.backplane.list(undefined, 10)).ids).toEqual([two]);
    });

    it('frees the id for a new session, which starts empty', async () => {
      const { a, b } = rig;
      const id = await a.create();
      a.number = 50;
      await a.run(id, append(STANDALONE, 'old'));
      await b.backplane.remove(id, ALICE);
      await b.create({ id });
      expect(await a.texts(id, STANDALONE)).toEqual([]);
      // The numbers of commits start again, too.
      a.number = 0;
      expect((await a.say(id, STANDALONE, 'new')).position.n).toBe(1);
    });
  });
}
