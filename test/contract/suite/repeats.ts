import { describe, expect, it } from 'vitest';
import type { Operation } from '../../../src/backplane/backplane.js';
import { LOG_START, STANDALONE } from '../../../src/backplane/backplane.js';
import {
  append,
  detach,
  okay,
  open,
  receive,
  resultsOf,
  useRig,
  type OpenStore,
  type TestNode,
} from './rig.js';

export function describeRepeats(openStore: OpenStore): void {
  describe('a repeated commit', () => {
    const rig = useRig(openStore);
    const entries = async (node: TestNode, id: string) =>
      (await node.membership.history(id, LOG_START, 1000)).length;

    // A reply is lost, the call is sent again: the client must see each message once.
    it('stores nothing and tells nobody a second time', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']));
      await b.hold(id, STANDALONE);
      await b.run(id, open('q', ['2']));
      const operations = [
        append('p', 'answer', {
          ends: '1',
          effect: { type: 'subscribe', value: 'file:///x' } as const,
        }),
        append(STANDALONE, 'news'),
        receive({ to: 'node', nodeId: b.id }, 'for b'),
        receive({ to: 'executor', request: '2' }, 'cancel'),
        receive({ to: 'replicas' }, 'roots'),
        { type: 'hangup', stream: 'q' } as const,
      ];
      const first = resultsOf(await a.commit(id, ...operations));
      expect(await b.drain(a, id)).toHaveLength(6); // and one for the changed subscriptions
      const stored = await entries(a, id);
      const record = await a.membership.load(id);
      a.number -= 1; // the number of the commit, past the one of the mark
      const repeated = okay(await a.repeat(id, ...operations));

      expect(first.map(({ status }) => status)).toEqual([
        ...['appended', 'appended', 'received', 'received', 'received', 'received'],
      ]);
      expect(repeated.results).toEqual([
        { status: 'repeated' },
        { status: 'repeated' },
        ...first.slice(2),
      ]);
      expect(await entries(a, id)).toBe(stored);
      expect({ ...(await a.membership.load(id)), lastSeenAt: 0 }).toEqual({
        ...record,
        lastSeenAt: 0,
      });
      a.number += 1;
      expect(await b.drain(a, id)).toEqual([]);
    });

    // The twin: only the number tells a repeat from a second message that says the same.
    it('is told by its number alone', async () => {
      const { a } = rig;
      const id = await a.create();
      await a.commit(id, append(STANDALONE, 'news'));
      await a.repeat(id, append(STANDALONE, 'news'));
      expect(await a.texts(id, STANDALONE)).toEqual(['news']);
      await a.commit(id, append(STANDALONE, 'news'));
      expect(await a.texts(id, STANDALONE)).toEqual(['news', 'news']);
    });

    it('of an earlier number is a repeat too', async () => {
      const { a } = rig;
      const id = await a.create();
      a.number = 41;
      await a.commit(id, append(STANDALONE, 'news'));
      a.number = 7;
      expect(await a.run(id, append(STANDALONE, 'old'))).toEqual([{ status: 'repeated' }]);
      expect(await a.texts(id, STANDALONE)).toEqual(['news']);
    });

    // Numbers are a node's own, per session: nodes and sessions must not take each other's messages for repeats.
    it('is one of the same node in the same session', async () => {
      const { a, b } = rig;
      const [one, two] = await Promise.all([a.create(), a.create()]);
      a.number = b.number = 10;
      await a.commit(one, append(STANDALONE, 'of a'));
      await b.commit(one, append(STANDALONE, 'of b'));
      a.number = 10;
      await a.commit(two, append(STANDALONE, 'of a'));
      expect(await a.texts(one, STANDALONE)).toEqual(['of a', 'of b']);
      expect(await a.texts(two, STANDALONE)).toEqual(['of a']);
    });

    it('of an open answers where the request stands', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const first = await a.run(id, open('p', ['1']));
      expect(resultsOf(await a.repeat(id, open('p', ['1'])))).toEqual(first);
      expect(await b.run(id, open('q', ['1']))).toMatchObject([{ status: 'duplicate' }]);
      expect(resultsOf(await b.repeat(id, open('q', ['1'])))).toMatchObject([
        { status: 'duplicate' },
      ]);
      expect(await a.say(id, 'p', 'answer', { ends: '1' })).toMatchObject({ ended: true });
    });

    // The first reply carried the record that the node's replica is built from: it must come again.
    it('of an open still brings the record to a node that has no replica', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const first = okay(await b.commit(id, open('p', ['1'])));
      const again = okay(await b.repeat(id, open('p', ['1'])));
      expect(first.record?.id).toBe(id);
      expect({ ...again.record, lastSeenAt: 0 }).toEqual({ ...first.record, lastSeenAt: 0 });
      // It counts as one replica: told once.
      await a.run(id, receive({ to: 'replicas' }, 'roots'));
      expect(await b.drain(a, id)).toMatchObject([{ type: 'deliver' }]);
    });

    it('of a detach, abandon or forget undoes nothing that came after it', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1'], { token: 't1' }));
      await a.hold(id, STANDALONE, { token: 't1' });
      const operations = [
        detach(STANDALONE, 't1'),
        detach('p', 't1'),
        { type: 'abandon', stream: 'p', requests: ['1'] },
        { type: 'forget' },
      ] satisfies Operation[];
      await a.run(id, ...operations);
      const { number } = a;
      a.number += 10;
      await a.run(id, open('p', ['1'], { token: 't1' }));
      await a.hold(id, STANDALONE, { token: 't1' });
      a.number = number;
      await a.repeat(id, ...operations);

      a.number += 20;
      expect(await b.run(id, open('q', ['1']))).toMatchObject([{ status: 'duplicate' }]);
      expect(await a.say(id, 'p', 'progress')).toMatchObject({ token: 't1' });
      expect(await a.say(id, STANDALONE, 'news')).toMatchObject({ token: 't1' });
      await b.run(id, receive({ to: 'replicas' }, 'roots'));
      expect(await a.drain(b, id)).toContainEqual({
        type: 'deliver',
        sessionId: id,
        message: 'roots',
      });
    });
  });

  describe('a repeated attach', () => {
    const rig = useRig(openStore);

    // It took the stream over, the reply was lost: the second one must not take it for a stranger's,
    // nor forget whose connection has to be ended.
    it('is no conflict, and still names the connection that held the stream before', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.hold(id, STANDALONE, { token: 'old' });
      const previous = { nodeId: a.id, token: 'old' };
      expect((await b.hold(id, STANDALONE, { token: 'new' })).previous).toEqual(previous);
      expect((await b.hold(id, STANDALONE, { token: 'new' })).previous).toEqual(previous);

      const other = await a.create();
      const request = { token: 'first', unlessHeld: true };
      expect((await b.hold(other, STANDALONE, request)).previous).toBeUndefined();
      expect((await b.hold(other, STANDALONE, request)).previous).toBeUndefined();
    });
  });
}
