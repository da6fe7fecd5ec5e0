import { describe, expect, it } from 'vitest';
import { STANDALONE } from '../../../src/backplane/index.js';
import type { AssignOperation } from '../../../src/backplane/index.js';
import { ALICE, append, okay, open, receive, useRig, type OpenStore, changed } from './rig.js';

function assign(stream: string | undefined, more: Partial<AssignOperation> = {}): AssignOperation {
  return { type: 'assign', stream, dead: undefined, revision: undefined, ...more };
}

export function describeOwners(openStore: OpenStore): void {
  describe('owners', () => {
    const rig = useRig(openStore);
    const FORGET = { type: 'forget' } as const;
    const owned = { owned: true };

    it('have a session from the start, or from the first request on', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      expect((await b.membership.load(id))?.owner).toBe(a.id);
      const later = await a.create();
      expect((await b.membership.load(later))?.owner).toBeUndefined();
      const opened = okay(await b.commit(later, open('p', ['1'], owned)));
      expect(opened.results).toMatchObject([{ status: 'opened' }]);
      expect(opened.results[0]).not.toHaveProperty('owner');
      expect((await a.membership.load(later))?.owner).toBe(b.id);
    });

    it('begin by themselves what another node has opened for them, and nobody else does', async () => {
      const { a, b, c } = rig;
      const id = await a.create(owned);
      const opened = okay(await b.commit(id, open('p', ['1', '2'], { ...owned, messages: ['x'] })));
      expect(opened.results).toMatchObject([{ status: 'opened', owner: a.id }]);
      // It builds no replica, so it needs no record.
      expect(opened).not.toHaveProperty('record');
      const dropped = { status: 'dropped', executor: a.id, unbegun: true };
      expect(await b.run(id, append('p', 'mine?', { ends: '1' }))).toEqual([dropped]);
      expect(await c.run(id, assign('p'))).toEqual([
        { status: 'assigned', executor: a.id, begun: false },
      ]);
      const [mine] = await a.run(id, assign('p', { revision: '1' }));
      expect(mine).toMatchObject({ status: 'assigned', executor: a.id, begun: true });
      expect(mine).toHaveProperty('requests');
      expect((mine as { requests: string[] }).requests.sort()).toEqual(['1', '2']);
      const stored = (await a.said(id)).find(({ message }) => message === 'x');
      expect(mine).toHaveProperty('logId', stored?.logId);
      // Asked twice, it runs once.
      expect(await a.run(id, assign('p', { revision: '1' }))).toEqual([
        { status: 'assigned', executor: a.id, begun: true },
      ]);
      const answers = append('p', 'done', { ends: '1' });
      expect(await a.run(id, answers)).toMatchObject([{ status: 'appended', ended: false }]);
      expect(await b.next('event')).toMatchObject({ stream: 'p', event: { message: 'done' } });
      expect(await a.run(id, append('p', 'all', { ends: '2' }))).toMatchObject([{ ended: true }]);
      expect(await b.run(id, assign('p'))).toEqual([{ status: 'dropped' }]);
    });

    // A failover had lost that the owner had begun. It began again for each message by itself, and the next one overtook it.
    it('begin with what they say of a stream that they are to begin', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned), open('q', ['2'], owned));
      const [first, second] = await a.run(id, append('p', 'one'), append('p', 'two'));
      expect(first).toMatchObject({ status: 'appended', position: { n: 1 } });
      expect(second).toMatchObject({ status: 'appended', position: { n: 2 } });
      const beside = append(STANDALONE, 'three', { onlyIf: { executes: 'q' } });
      expect(await a.run(id, beside)).toMatchObject([{ status: 'appended' }]);
      for (const stream of ['p', 'q']) {
        expect(await a.run(id, assign(stream, { revision: '1' }))).toEqual([
          { status: 'assigned', executor: a.id, begun: true },
        ]);
      }
    });

    // Nobody told it of what became of the session.
    it('who become that with what they say hear of the end of the session', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned));
      await a.run(id, FORGET);
      const [said] = await a.run(id, append('p', 'done', { ends: '1' }));
      expect(said).toMatchObject({ status: 'appended', ended: true });
      expect((await b.membership.load(id))?.owner).toBe(a.id);
      expect(await b.membership.remove(id, ALICE)).toBe(true);
      expect(await a.next('gone')).toEqual({ type: 'gone', sessionId: id });
    });

    // The reply was lost: whoever sends it again has to run what it was given.
    it('are given the same again when a commit is repeated', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      const operation = open('p', ['1'], owned);
      const [first] = await b.run(id, operation);
      expect(okay(await b.repeat(id, operation)).results).toEqual([first]);
      const [given] = await a.run(id, assign('p', { revision: '1' }));
      expect(okay(await a.repeat(id, assign('p', { revision: '1' }))).results).toEqual([given]);
    });

    // Found by the simulator: the second of two assignments lost its reply, and its repeat began what the first had begun.
    it('are not given again, by a repeat, what an earlier commit has given them', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned));
      await a.run(id, assign('p', { revision: '1' }));
      const [second] = await a.run(id, assign('p', { revision: '1' }));
      expect(second).not.toHaveProperty('requests');
      expect(okay(await a.repeat(id, assign('p', { revision: '1' }))).results).toEqual([second]);
    });

    it('that are dead have one successor, and are told, in case they were only paused', async () => {
      const { a, b, c } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned));
      await c.run(id, open('q', ['2'], owned));
      expect(await c.run(id, assign('q', { dead: b.id }))).toEqual([
        { status: 'assigned', executor: a.id, begun: false },
      ]);
      const taken = okay(await b.commit(id, assign('p', { dead: a.id })));
      expect(taken).toMatchObject({
        record: { owner: b.id },
        results: [{ executor: b.id, begun: true, requests: ['1'] }],
      });
      expect(await a.next('disowned')).toEqual({ type: 'disowned', sessionId: id });
      expect(await c.run(id, assign('q', { dead: a.id }))).toEqual([
        { status: 'assigned', executor: b.id, begun: false },
      ]);
      // What the old one believes does not count.
      expect(await a.run(id, assign('q'))).toEqual([
        { status: 'assigned', executor: b.id, begun: false },
      ]);
      expect(await a.run(id, open('r', ['3'], owned))).toMatchObject([{ owner: b.id }]);
    });

    it('speak for the session, and nobody else on the same condition', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      const said = append(STANDALONE, 'x', { onlyIf: { owned: true } });
      expect(await a.run(id, said)).toMatchObject([{ status: 'appended' }]);
      expect(await b.run(id, said)).toEqual([{ status: 'skipped' }]);
      expect(await b.run(id, append(STANDALONE, 'webhook'))).toMatchObject([
        { status: 'appended' },
      ]);
      await b.run(id, assign(undefined, { dead: a.id }));
      expect(await a.run(id, said)).toEqual([{ status: 'skipped' }]);
    });

    it('give a session up with their replica', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      await b.run(id, FORGET);
      expect((await b.membership.load(id))?.owner).toBe(a.id);
      await b.run(id, open('p', ['1'], owned));
      await a.run(id, FORGET);
      expect((await b.membership.load(id))?.owner).toBeUndefined();
      expect(await b.run(id, assign('p'))).toMatchObject([
        { executor: b.id, begun: true, requests: ['1'] },
      ]);
    });

    it('get what is for the replica, and what says that the client is ready', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      expect(await b.run(id, receive({ to: 'owner' }, 'x'))).toEqual([
        { status: 'received', here: false, handler: a.id },
      ]);
      expect(await a.run(id, receive({ to: 'owner' }, 'x'))).toEqual([
        { status: 'received', here: true },
      ]);
      const initialized = receive({ to: 'initialized', owned: true }, 'ready');
      expect(await b.run(id, initialized)).toMatchObject([{ here: false, handler: a.id }]);
      expect(await a.next('shape')).toMatchObject({ revision: changed(2), message: 'ready' });
      expect(await b.run(id, assign(undefined))).toEqual([
        { status: 'assigned', executor: a.id, begun: false },
      ]);
      const taken = okay(await b.commit(id, assign(undefined, { dead: a.id })));
      expect(taken).toMatchObject({ results: [{ executor: b.id }], record: { active: true } });
    });

    it('do not begin what was cancelled before', async () => {
      const { a, b, c } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1', '2'], owned));
      const cancel = receive({ to: 'executor', request: '1' }, 'cancel');
      expect(await c.run(id, cancel)).toEqual([
        { status: 'received', here: false, handler: a.id, unbegun: 'p' },
      ]);
      expect(await a.drain(b, id)).toEqual([]);
      const end = append('p', undefined, { ends: '1', onlyIf: { unbegun: true } });
      expect(await c.run(id, end)).toMatchObject([{ status: 'appended', ended: false }]);
      expect(await a.run(id, assign('p', { revision: '1' }))).toMatchObject([{ requests: ['2'] }]);
      const late = append('p', undefined, { ends: '2', onlyIf: { unbegun: true } });
      // Who has begun it may be another one than when it was cancelled, and it may be the one that gives it up.
      for (const node of [a, c]) {
        expect(await node.run(id, late)).toEqual([{ status: 'dropped', executor: a.id }]);
      }
    });

    it('may abandon what nobody has begun only through whoever opened it', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned));
      await b.run(id, { type: 'abandon', stream: 'p', requests: ['1'] });
      expect(await a.run(id, assign('p'))).toEqual([{ status: 'dropped' }]);
      expect(await b.run(id, open('q', ['1'], owned))).toMatchObject([{ status: 'opened' }]);
    });

    it('are given what a dead one had begun, and know that it was begun', async () => {
      const { a, b, c } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned));
      await b.run(id, open('q', ['2'], owned));
      await a.run(id, assign('p'), assign('q'));
      const claim = { type: 'claim' as const, from: a.id, revision: '1', owned: true };
      expect(await b.run(id, { ...claim, stream: 'p' })).toEqual([
        { status: 'claimed', requests: ['1'] },
      ]);
      expect((await b.membership.load(id))?.owner).toBe(b.id);
      // Somebody else was first: the owner is another now, and is to run it.
      expect(await c.run(id, { ...claim, stream: 'q' })).toEqual([
        { status: 'claimed', requests: ['2'], owner: b.id },
      ]);
      expect(await b.run(id, assign('q'))).toEqual([
        {
          ...{ status: 'assigned', executor: b.id, begun: true, requests: ['2'], again: true },
          logId: expect.any(String) as string,
        },
      ]);
    });

    // Paused for longer than its lease, an owner goes on with what it had begun, although its successor has served requests
    // of the session meanwhile: its late answer was stored, and shown. That its successor has given the session up again
    // changes nothing.
    it('are not heard any more on streams that they had begun, after another node has taken their place', async () => {
      const { a, b, c } = rig;
      const id = await a.create(owned);
      await a.run(id, open('p', ['1', '2'], owned));
      await c.run(id, open('q', ['3'], owned));
      await a.run(id, assign('q'));
      await b.run(id, { type: 'assign', stream: undefined, dead: a.id, revision: undefined });
      const dropped = { status: 'dropped', executor: `-${a.id}` };
      expect(await a.run(id, append('p', 'late', { ends: '1' }), append('q', 'late'))).toEqual([
        dropped,
        dropped,
      ]);
      expect(await a.next('disowned')).toEqual({ type: 'disowned', sessionId: id });
      // The connections that wait for these streams are told to see to their end; the one of `p` is the former owner's own.
      expect(await c.next('orphaned')).toMatchObject({ sessionId: id, stream: 'q' });
      expect(await a.next('orphaned')).toMatchObject({ sessionId: id, stream: 'p' });
      await b.run(id, { type: 'forget' });
      expect(await a.run(id, append('p', 'late', { ends: '1' }))).toEqual([dropped]);
      // Claimed as what they are, or by who still takes the former owner for dead; and ended once.
      const claim = { type: 'claim' as const, revision: undefined };
      expect(await a.run(id, { ...claim, stream: 'p', from: a.id })).toEqual([dropped]);
      expect(await c.run(id, { ...claim, stream: 'q', from: a.id })).toMatchObject([
        { status: 'claimed', requests: ['3'] },
      ]);
      expect(await a.run(id, { ...claim, stream: 'p', from: `-${a.id}` })).toMatchObject([
        { status: 'claimed' },
      ]);
      const end = append('p', 'its node is gone', { ends: '1' });
      expect(await a.run(id, end)).toMatchObject([{ status: 'appended' }]);
      expect(await a.run(id, end)).toMatchObject([{ status: 'dropped' }]);
      expect(await b.texts(id, 'p')).toEqual(['its node is gone']);
    });

    // With JSON responses, and with HTTP+SSE, what a call says besides its answer is on the standalone stream: whose call it
    // is decides there as well.
    it('are heard on the standalone stream for a call as long as they execute it', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      await a.run(id, open('p', ['1'], owned));
      const says = append(STANDALONE, 'progress', { onlyIf: { executes: 'p' } });
      expect(await a.run(id, says)).toMatchObject([{ status: 'appended' }]);
      expect(await b.run(id, says)).toEqual([{ status: 'skipped' }]);
      await b.run(id, { type: 'assign', stream: undefined, dead: a.id, revision: undefined });
      expect(await a.run(id, says)).toEqual([{ status: 'skipped' }]);
      expect(await b.texts(id, STANDALONE)).toEqual(['progress']);
    });

    it('are named to whoever resumes a stream that they have not begun', async () => {
      const { a, b, c } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned));
      const cursor = { n: 0, logId: (await b.read(id, 'p')).scanned };
      expect(await c.hold(id, 'p', { token: 'c', cursor })).toMatchObject({
        executor: a.id,
        unbegun: true,
      });
      await a.run(id, assign('p'));
      const begun = await c.hold(id, 'p', { token: 'c2', cursor });
      expect(begun.executor).toBe(a.id);
      expect(begun).not.toHaveProperty('unbegun');
    });
  });
}
