import { describe, expect, it } from 'vitest';
import type { Operation } from '../../../src/backplane/index.js';
import { LOG_START, RELEASED, STANDALONE } from '../../../src/backplane/index.js';
import {
  append,
  BEGINNING,
  detach,
  okay,
  open,
  receive,
  resultsOf,
  subscribe,
  useRig,
  type OpenStore,
  type Rig,
  type TestNode,
} from './rig.js';

export function describeRepeats(openStore: OpenStore): void {
  describe('a repeated commit', () => {
    const rig = useRig(openStore);
    const entries = async (node: TestNode, id: string) =>
      (await node.backplane.history(id, LOG_START, 1000)).length;

    // When a reply is lost, the commit is sent again. The client must see each message once.
    it('stores nothing and sends nothing a second time', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']));
      await b.hold(id, STANDALONE);
      await b.run(id, open('q', ['2']));
      const operations = [
        append('p', 'answer', {
          ...{ ends: '1', failed: true },
          effect: { type: 'subscribe', uri: 'file:///x' } as const,
        }),
        append(STANDALONE, 'news'),
        receive({ to: 'node', nodeId: b.id }, 'for b'),
        receive({ to: 'executor', request: '2' }, 'cancel'),
        receive({ to: 'replicas' }, 'roots'),
        { type: 'hangup', stream: 'q' } as const,
      ];
      const first = resultsOf(await a.commit(id, ...operations));
      expect(await b.drain(a, id)).toHaveLength(6); // one of them is for the changed subscriptions
      const stored = await entries(a, id);
      const record = await a.backplane.load(id);
      a.number -= 1; // the mark of `drain` was a commit, too
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
      expect({ ...(await a.backplane.load(id)), lastSeenAt: 0 }).toEqual({
        ...record,
        lastSeenAt: 0,
      });
      a.number += 1;
      // The cancellation is sent again, because the first one may not have found the request running. A second one does
      // no harm.
      expect(await b.drain(a, id)).toMatchObject([{ type: 'deliver', message: 'cancel' }]);
    });

    // The twin: a message with the same text and another number is stored again.
    it('is recognized by its number, not by its text', async () => {
      const { a } = rig;
      const id = await a.create();
      await a.commit(id, append(STANDALONE, 'news'));
      await a.repeat(id, append(STANDALONE, 'news'));
      expect(await a.texts(id, STANDALONE)).toEqual(['news']);
      await a.commit(id, append(STANDALONE, 'news'));
      expect(await a.texts(id, STANDALONE)).toEqual(['news', 'news']);
    });

    it('is recognized by a lower number, too', async () => {
      const { a } = rig;
      const id = await a.create();
      a.number = 41;
      await a.commit(id, append(STANDALONE, 'news'));
      a.number = 7;
      expect(await a.run(id, append(STANDALONE, 'old'))).toEqual([{ status: 'repeated' }]);
      expect(await a.texts(id, STANDALONE)).toEqual(['news']);
    });

    // Each node numbers its commits of each session. Commits of other nodes and other sessions with the same number are
    // no repeats.
    it('is recognized only from the same node in the same session', async () => {
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

    it('of an open gets the same reply as the first one', async () => {
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

    // One request of a batch was cancelled between the two tries. The repeat named the place of that end with the number 0: the
    // connection took the stream for trimmed, and ended without the answer of the other request.
    it('opens the stream before what was logged since the first try', async () => {
      const { a } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1', '2']));
      const number = a.number;
      await a.run(id, append('p', 'one', { ends: '1' }));
      const operations = [open('p', ['1', '2'])];
      const [again] = resultsOf(await a.backplane.commit({ sessionId: id, number, operations }));
      const position = again?.status === 'opened' ? again.position : undefined;
      expect(position).toEqual(BEGINNING);
      expect((await a.read(id, 'p', position)).events).toMatchObject([{ message: 'one' }]);
    });

    // The node builds its replica from the record in the first reply, so the repeat has to return it again.
    it('of an open returns the record again to a node without a replica', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const first = okay(await b.commit(id, open('p', ['1'])));
      const again = okay(await b.repeat(id, open('p', ['1'])));
      expect(first.record?.id).toBe(id);
      expect({ ...again.record, lastSeenAt: 0 }).toEqual({ ...first.record, lastSeenAt: 0 });
      // The node counts as one replica, so it is told once.
      await a.run(id, receive({ to: 'replicas' }, 'roots'));
      expect(await b.drain(a, id)).toMatchObject([{ type: 'deliver' }]);
    });

    it('of a detach, abandon or forget undoes nothing that came later', async () => {
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

  // The reply is lost, and another node takes a step before the commit is sent again.
  describe('a commit that is repeated after a step of another node', () => {
    const rig = useRig(openStore);
    interface Case {
      operation: (rig: Rig) => Operation;
      before?: (rig: Rig, id: string) => Promise<unknown>;
      between: (rig: Rig, id: string) => Promise<unknown>;
      /** Default: the same answer as the first time. */
      answer?: object;
    }
    const opened = ({ a }: Rig, id: string) => a.run(id, open('p', ['1']));
    const openedByC = ({ c }: Rig, id: string) => c.run(id, open('p', ['1']));
    const holdOfB = ({ b }: Rig, id: string) => b.hold(id, STANDALONE, { token: 'b' });
    const sayOfB = ({ b }: Rig, id: string) => b.run(id, subscribe('file:///x'));
    const claim = ({ c }: Rig): Operation => ({
      type: 'claim',
      stream: 'p',
      from: c.id,
      revision: '1',
    });
    const note: Operation = {
      ...{ type: 'note', kind: 'request.failed', stream: 'p', request: '1', from: undefined },
    };
    const CASES: Record<string, Case> = {
      open: {
        operation: () => open('p', ['1']),
        between: ({ b }, id) => b.run(id, open('q', ['2'])),
      },
      append: {
        operation: () => append(STANDALONE, 'news'),
        between: sayOfB,
        answer: { status: 'repeated' },
      },
      // Bug: the repeat said that the answer was stored. The node forgot the call without an error, and its client
      // waited for ever.
      'an answer that was refused, since another node executes the request': {
        before: openedByC,
        operation: () => append('p', 'answer', { ends: '1' }),
        between: sayOfB,
      },
      'what belongs to a request that another node executes': {
        before: openedByC,
        operation: () => append(STANDALONE, 'progress', { onlyIf: { executes: 'p' } }),
        between: sayOfB,
      },
      'receive for a node': {
        operation: ({ b }) => receive({ to: 'node', nodeId: b.id }),
        between: sayOfB,
      },
      'receive for replicas': { operation: () => receive({ to: 'replicas' }), between: sayOfB },
      'receive for this node': { operation: () => receive({ to: 'here' }), between: sayOfB },
      // Bug: the server got `initialized` twice, with the record that said so and once more as a message.
      initialized: { operation: () => receive({ to: 'initialized' }), between: sayOfB },
      'initialized, for a replica of another node': {
        before: ({ a, c }, id) => a.run(id, { type: 'forget' }).then(() => useOf(c, id)),
        operation: () => receive({ to: 'initialized' }),
        between: ({ a, c }, id) => c.run(id, { type: 'forget' }).then(() => a.id),
      },
      claim: { before: openedByC, operation: claim, between: (r, id) => r.b.run(id, claim(r)) },
      'claim of what another node is to begin': {
        before: ({ b, c }, id) =>
          b
            .run(id, receive({ to: 'owner' }))
            .then(() => c.run(id, open('p', ['1'], { owned: true }))),
        operation: claim,
        between: sayOfB,
      },
      detach: {
        before: ({ a }, id) => a.hold(id, STANDALONE),
        operation: () => detach(STANDALONE, 't1'),
        between: holdOfB,
      },
      hangup: {
        before: ({ c }, id) => c.hold(id, STANDALONE, { token: 'c' }),
        operation: () => ({ type: 'hangup', stream: STANDALONE }),
        between: holdOfB,
      },
      release: {
        before: opened,
        operation: () => ({ type: 'release', stream: 'p' }),
        between: ({ b }, id) =>
          b.run(id, { type: 'claim', stream: 'p', from: RELEASED, revision: '1' }),
      },
      abandon: {
        before: opened,
        operation: () => ({ type: 'abandon', stream: 'p', requests: ['1'] }),
        between: ({ b }, id) => b.run(id, open('q', ['1'])),
      },
      note: { operation: () => note, between: sayOfB },
      forget: {
        operation: () => ({ type: 'forget' }),
        between: ({ b }, id) =>
          b.run(id, { type: 'assign', stream: undefined, dead: undefined, revision: '1' }),
      },
    };
    const useOf = (node: TestNode, id: string) =>
      node.run(id, receive({ to: 'here' }, '{}', { revision: undefined }));

    it.each(Object.entries(CASES))(
      'gets the same reply and changes nothing: %s',
      async (_, given) => {
        const { a, b, c } = rig;
        const id = await a.create();
        await given.before?.(rig, id);
        const operation = given.operation(rig);
        const [first] = await a.run(id, operation);
        await given.between(rig, id);
        await Promise.all([b.drain(c, id), c.drain(b, id)]);
        const stored = await everythingOf(a, id);
        const [repeated] = resultsOf(await a.repeat(id, operation));
        expect(repeated).toEqual(given.answer ?? first);
        expect(await everythingOf(a, id)).toEqual(stored);
        const heard = await Promise.all([b.drain(c, id), c.drain(b, id)]);
        expect(heard).toEqual([[], []]);
      },
    );

    async function everythingOf(node: TestNode, id: string) {
      const record = await node.backplane.load(id);
      return {
        record: { ...record, lastSeenAt: 0 },
        streams: await node.backplane.openStreams(id),
        log: await node.backplane.history(id, LOG_START, 1000),
      };
    }

    // Bug: the first cancellation came before the owner had begun the call, so it was sent to no node. Neither was its
    // repeat.
    it('sends the owner a cancellation of a call that the owner has begun in between', async () => {
      const { a: owner, b } = rig;
      const id = await owner.create({ owned: true });
      await b.run(id, open('p', ['1'], { owned: true }));
      const cancel = receive({ to: 'executor', request: '1' }, 'cancelled');
      expect(await b.run(id, cancel)).toMatchObject([{ unbegun: 'p', handler: owner.id }]);
      await owner.run(id, { type: 'assign', stream: 'p', dead: undefined, revision: '1' });
      await b.repeat(id, cancel);
      expect((await owner.next('deliver')).message).toBe('cancelled');
    });
  });

  describe('a repeated attach', () => {
    const rig = useRig(openStore);

    // The first attach took the stream over, and its reply was lost. The second attach must neither conflict with its own
    // claim nor forget which connection has to be ended.
    it('meets no conflict, and names the connection that held the stream before', async () => {
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

    // A repeat must not replace the newer connection, because its own connection may be gone by then.
    it.each([false, true])(
      'leaves the stream to a newer connection (unlessHeld: %s)',
      async (unlessHeld) => {
        const { a, b, c } = rig;
        const id = await a.create();
        await a.hold(id, STANDALONE, { token: 'old' });
        const request = { token: 'new', unlessHeld, deadHolder: { nodeId: a.id, token: 'old' } };
        const first = await b.hold(id, STANDALONE, request);
        await c.hold(id, STANDALONE, { token: 'newest' });
        expect(await b.hold(id, STANDALONE, request)).toEqual(first);
        expect(await a.say(id, STANDALONE, 'news')).not.toHaveProperty('token');
        expect((await c.next('event')).token).toBe('newest');
        const read = { sessionId: id, stream: STANDALONE, after: BEGINNING, maxBytes: 1_000 };
        expect(await b.backplane.read({ ...read, token: 'new' })).toEqual({ status: 'lost' });
      },
    );
  });
}
