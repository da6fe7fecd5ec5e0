import { describe, expect, it } from 'vitest';
import { LOOK_HOLDS_MS, RELEASED, STANDALONE } from '../../../src/backplane/index.js';
import { open, useRig, type OpenStore } from './rig.js';

/** A step that depends on a look at a dead node checks the age of the look when it is carried out. */
export function describeLooks(openStore: OpenStore): void {
  describe('a step that builds on a look at a dead node', () => {
    const rig = useRig(openStore);
    const owned = { owned: true };
    const claim = { type: 'claim' as const, stream: 'p', revision: '1' };
    const assign = { type: 'assign' as const, stream: undefined, revision: '1' };
    const now = (id: string) => rig.b.backplane.timeOf(id);
    const tooOld = async (id: string) => (await now(id)) - LOOK_HOLDS_MS - 1;

    // Bug: claims waited while Redis refused writes. When they were carried out afterwards, they took the calls of nodes
    // that were alive.
    it('takes a request from its executor if the look is recent, and is refused as stale if not', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']));
      const late = { ...claim, from: a.id, lookedAt: await tooOld(id) };
      expect(await b.run(id, late)).toEqual([{ status: 'stale' }]);
      expect(await b.repeat(id, late)).toMatchObject({
        results: [{ status: 'dropped', executor: a.id }],
      });
      const [answer] = await a.run(id, { type: 'append', stream: 'p', message: 'still heard' });
      expect(answer).toMatchObject({ status: 'appended' });
      const inTime = { ...claim, from: a.id, lookedAt: await now(id) };
      expect(await b.run(id, inTime)).toEqual([{ status: 'claimed', requests: ['1'] }]);
      // A repeat after a lost reply has the outcome of the first try, however old the look is by then.
      const repeat = { ...inTime, lookedAt: await tooOld(id) };
      expect(await b.repeat(id, repeat)).toMatchObject({ results: [{ status: 'claimed' }] });
    });

    it('is refused as stale if the clock has gone back since the look', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']));
      const lookedAt = (await now(id)) + 60_000;
      expect(await b.run(id, { ...claim, from: a.id, lookedAt })).toEqual([{ status: 'stale' }]);
    });

    it('takes a session from its owner if the look is recent, and is refused as stale if not', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned));
      const late = { dead: a.id, lookedAt: await tooOld(id) };
      expect(await b.run(id, { ...assign, ...late })).toEqual([{ status: 'stale' }]);
      expect(await b.run(id, { ...assign, stream: 'p', ...late })).toEqual([{ status: 'stale' }]);
      const theirs = { ...claim, from: a.id, ...late, owned: true };
      expect(await b.run(id, theirs)).toMatchObject([{ status: 'stale' }]);
      expect((await b.backplane.load(id))?.owner).toBe(a.id);
      expect(a.inbox.filter(({ type }) => type === 'disowned')).toEqual([]);
      const inTime = { dead: a.id, lookedAt: await now(id) };
      expect(await b.run(id, { ...assign, stream: 'p', ...inTime })).toMatchObject([
        { status: 'assigned', executor: b.id, begun: true, requests: ['1'] },
      ]);
      expect((await b.backplane.load(id))?.owner).toBe(b.id);
    });

    it('names the present owner if another node owns the session by now, however old the look is', async () => {
      const { a, b, c } = rig;
      const id = await a.create(owned);
      await b.run(id, { ...assign, dead: a.id, lookedAt: await now(id) });
      const late = { ...assign, dead: a.id, lookedAt: await tooOld(id) };
      expect(await c.run(id, late)).toMatchObject([{ status: 'assigned', executor: b.id }]);
    });

    it('needs no look if the executor has released the stream', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']));
      await a.run(id, { type: 'release', stream: 'p' });
      const [result] = await b.run(id, { ...claim, from: RELEASED });
      expect(result).toEqual({ status: 'claimed', requests: ['1'] });
    });

    it('takes a stream from a dead holder if the look is recent, and is refused if not', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.hold(id, STANDALONE, { token: 't' });
      const holder = { nodeId: a.id, token: 't' };
      const polite = { unlessHeld: true, deadHolder: holder, token: 'u' };
      const lookedAt = await tooOld(id);
      expect(await b.attach(id, STANDALONE, { ...polite, lookedAt })).toEqual({
        ...{ status: 'conflict', holder },
      });
      const inTime = { ...polite, lookedAt: await now(id) };
      expect(await b.attach(id, STANDALONE, inTime)).toMatchObject({ status: 'attached' });
    });
  });
}
