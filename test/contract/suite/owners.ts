import { describe, expect, it } from 'vitest';
import { STANDALONE } from '../../../src/backplane/index.js';
import type { AssignOperation } from '../../../src/backplane/index.js';
import { ALICE, append, okay, open, receive, useRig, type OpenStore, changed } from './rig.js';

function assign(stream: string | undefined, more: Partial<AssignOperation> = {}): AssignOperation {
  return { type: 'assign', stream, dead: undefined, revision: undefined, ...more };
}

export function describeOwners(openStore: OpenStore): void {
  describe('the owner of a session', () => {
    const rig = useRig(openStore);
    const FORGET = { type: 'forget' } as const;
    const owned = { owned: true };

    it('is the node that creates the session, or else the first that runs a request', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      expect((await b.backplane.load(id))?.owner).toBe(a.id);
      const later = await a.create();
      expect((await b.backplane.load(later))?.owner).toBeUndefined();
      const opened = okay(await b.commit(later, open('p', ['1'], owned)));
      expect(opened.results).toMatchObject([{ status: 'opened' }]);
      expect(opened.results[0]).not.toHaveProperty('owner');
      expect((await a.backplane.load(later))?.owner).toBe(b.id);
    });

    it('begins what another node has opened for it, and no other node can begin or answer it', async () => {
      const { a, b, c } = rig;
      const id = await a.create(owned);
      const opened = okay(await b.commit(id, open('p', ['1', '2'], { ...owned, messages: ['x'] })));
      expect(opened.results).toMatchObject([{ status: 'opened', owner: a.id }]);
      // The node that opened the stream builds no replica, so it needs no record.
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
      // The same stream is not given a second time, so it runs once.
      expect(await a.run(id, assign('p', { revision: '1' }))).toEqual([
        { status: 'assigned', executor: a.id, begun: true },
      ]);
      const answers = append('p', 'done', { ends: '1' });
      expect(await a.run(id, answers)).toMatchObject([{ status: 'appended', ended: false }]);
      expect(await b.next('event')).toMatchObject({ stream: 'p', event: { message: 'done' } });
      expect(await a.run(id, append('p', 'all', { ends: '2' }))).toMatchObject([{ ended: true }]);
      expect(await b.run(id, assign('p'))).toEqual([{ status: 'dropped' }]);
    });

    // Bug: a failover had lost that the owner had begun. The owner began again for each message separately, and the
    // next one overtook it.
    // A failover may have lost that it has begun the requests, which still run on it.
    it('is the executor of a stream that another node has opened for it, also before it begins it', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned));
      const touched = (node: typeof a) =>
        node.backplane.touch([{ sessionId: id, streams: [], runs: ['p', 'none'] }]);
      expect(await touched(a)).toEqual([{ status: 'ok', streams: [], runs: [true, false] }]);
      expect(await touched(b)).toEqual([{ status: 'ok', streams: [], runs: [false, false] }]);
    });

    it('begins a stream with the first message that it appends to it', async () => {
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

    // Bug: a node that became the owner in this way was not told that the session had ended.
    it('is told of the end of the session if it became the owner by a message of its own', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned));
      await a.run(id, FORGET);
      const [said] = await a.run(id, append('p', 'done', { ends: '1' }));
      expect(said).toMatchObject({ status: 'appended', ended: true });
      expect((await b.backplane.load(id))?.owner).toBe(a.id);
      expect(await b.backplane.remove(id, ALICE)).toBe(true);
      expect(await a.next('gone')).toEqual({ type: 'gone', sessionId: id });
    });

    // The reply was lost. The node that repeats its commit has to run what the first one gave it.
    it('gets the same requests when its commit is repeated', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      const operation = open('p', ['1'], owned);
      const [first] = await b.run(id, operation);
      expect(okay(await b.repeat(id, operation)).results).toEqual([first]);
      const [given] = await a.run(id, assign('p', { revision: '1' }));
      expect(okay(await a.repeat(id, assign('p', { revision: '1' }))).results).toEqual([given]);
    });

    // Bug (found by the simulator): the second of two assignments lost its reply. Its repeat returned what the first
    // had returned, so the requests ran twice.
    it('gets from a repeat no requests that an earlier commit has already given it', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned));
      await a.run(id, assign('p', { revision: '1' }));
      const [second] = await a.run(id, assign('p', { revision: '1' }));
      expect(second).not.toHaveProperty('requests');
      expect(okay(await a.repeat(id, assign('p', { revision: '1' }))).results).toEqual([second]);
    });

    it('that is dead has one successor, and is told of it in case it was only paused', async () => {
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
      // The record decides, whatever the former owner believes.
      expect(await a.run(id, assign('q'))).toEqual([
        { status: 'assigned', executor: b.id, begun: false },
      ]);
      expect(await a.run(id, open('r', ['3'], owned))).toMatchObject([{ owner: b.id }]);
    });

    it('alone may append a message that is for the owner only', async () => {
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

    // A paused owner had a successor, which gave the session up. Then the paused node owned the session again, and did not hear
    // that it had lost it. Its outdated server object ran requests, and what that had said meanwhile was stored.
    it('learns with a commit that makes it the owner that its replica is outdated', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      const first = okay(await a.commit(id, open('p', ['1'], owned)));
      expect(first).not.toHaveProperty('becameOwner');
      const taken = okay(await b.commit(id, assign(undefined, { dead: a.id })));
      expect(taken.becameOwner).toBe(true);
      await b.run(id, FORGET);
      const said = append(STANDALONE, 'x', { onlyIf: { owned: true } });
      const commit = [open('q', ['2'], owned), said] as const;
      const regained = {
        becameOwner: true,
        results: [{ status: 'opened' }, { status: 'skipped' }],
      };
      expect(okay(await a.commit(id, ...commit))).toMatchObject(regained);
      expect(okay(await a.repeat(id, ...commit))).toMatchObject(regained);
      // A node that has given up a commit still asks whether the commit made it the owner, without the operations.
      expect(okay(await a.repeat(id))).toMatchObject({ becameOwner: true, results: [] });
      const later = okay(await a.commit(id, said));
      expect(later).toMatchObject({ results: [{ status: 'appended' }] });
      for (const reply of [later, okay(await a.repeat(id, said))]) {
        expect(reply).not.toHaveProperty('becameOwner');
      }
      // A commit without operations is carried out like any other one. So a first try that arrives late counts as its
      // repeat.
      expect(okay(await a.commit(id)).results).toEqual([]);
      expect(okay(await a.repeat(id, open('r', ['3'], owned)))).not.toHaveProperty('becameOwner');
      expect((await a.backplane.load(id))?.owner).toBe(a.id);
    });

    it('gives the session up when it discards its replica', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      await b.run(id, FORGET);
      expect((await b.backplane.load(id))?.owner).toBe(a.id);
      await b.run(id, open('p', ['1'], owned));
      await a.run(id, FORGET);
      expect((await b.backplane.load(id))?.owner).toBeUndefined();
      expect(await b.run(id, assign('p'))).toMatchObject([
        { executor: b.id, begun: true, requests: ['1'] },
      ]);
    });

    it('is named for messages to the replica, and gets `initialized`', async () => {
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

    it('does not begin a request that was cancelled before', async () => {
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
      // The request is begun by now, so it is not ended here: neither by the node that cancels it nor by the owner
      // itself.
      for (const node of [a, c]) {
        expect(await node.run(id, late)).toEqual([{ status: 'dropped', executor: a.id }]);
      }
    });

    it('does not get a request that its opener has abandoned', async () => {
      const { a, b } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned));
      await b.run(id, { type: 'abandon', stream: 'p', requests: ['1'] });
      expect(await a.run(id, assign('p'))).toEqual([{ status: 'dropped' }]);
      expect(await b.run(id, open('q', ['1'], owned))).toMatchObject([{ status: 'opened' }]);
    });

    it('gets the requests that a dead owner had begun, marked as begun before', async () => {
      const { a, b, c } = rig;
      const id = await a.create(owned);
      await b.run(id, open('p', ['1'], owned));
      await b.run(id, open('q', ['2'], owned));
      await a.run(id, assign('p'), assign('q'));
      const claim = { type: 'claim' as const, from: a.id, revision: '1', owned: true };
      expect(await b.run(id, { ...claim, stream: 'p' })).toEqual([
        { status: 'claimed', requests: ['1'] },
      ]);
      expect((await b.backplane.load(id))?.owner).toBe(b.id);
      // Another node has claimed a stream before, and is the owner now. It is to run this one, too.
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

    // Bug: an owner that was paused for longer than its lease went on with what it had begun, although its successor
    // had served requests of the session meanwhile. Its late answer was stored and shown. It stays refused after the
    // successor has given the session up.
    it('cannot append to streams that it had begun, after another node has become the owner', async () => {
      const { a, b, c } = rig;
      const id = await a.create(owned);
      await a.run(id, open('p', ['1', '2'], owned));
      await c.run(id, open('q', ['3'], owned));
      await a.run(id, assign('q'));
      await b.run(id, open('r', ['4'], owned));
      await a.run(id, assign('r'));
      await b.run(id, { type: 'assign', stream: undefined, dead: a.id, revision: undefined });
      const dropped = { status: 'dropped', executor: `-${a.id}` };
      expect(await a.run(id, append('p', 'late', { ends: '1' }), append('q', 'late'))).toEqual([
        dropped,
        dropped,
      ]);
      expect(await a.next('disowned')).toEqual({ type: 'disowned', sessionId: id });
      // The holders of these streams are told to look after them. The holder of `p` is a connection of the former owner
      // itself.
      expect(await c.next('orphaned')).toMatchObject({ sessionId: id, stream: 'q' });
      expect(await a.next('orphaned')).toMatchObject({ sessionId: id, stream: 'p' });
      // The new owner did not know that it took this stream from the former one, and let its client wait for ten seconds.
      expect(await b.next('orphaned')).toMatchObject({ sessionId: id, stream: 'r' });
      await b.run(id, { type: 'forget' });
      expect(await a.run(id, append('p', 'late', { ends: '1' }))).toEqual([dropped]);
      // A stream without an executor can be claimed by its mark, or by a node that still takes the former owner for
      // dead. It is ended once.
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

    // With JSON responses and with HTTP+SSE, a call's messages besides its answer go to the standalone stream. Which
    // node runs the call decides there as well.
    it('appends to the standalone stream for a call as long as it runs the call', async () => {
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

    it('is named to a connection that resumes a stream which is not begun', async () => {
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
