import { systemClock } from '../../../src/protocol/timing/clock.js';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ANY_PRINCIPAL, LOG_START, STANDALONE } from '../../../src/backplane/index.js';
import {
  ALICE,
  append,
  eventually,
  MALLORY,
  newSession,
  open,
  receive,
  subscribe,
  useRig,
  type OpenStore,
} from './rig.js';

export function describeSessions(openStore: OpenStore): void {
  describe('a session', () => {
    const rig = useRig(openStore);

    // The client's next request may reach any node, which must not answer it with 404.
    it('is known on every node as soon as it is created', async () => {
      const { a, b } = rig;
      const session = newSession();
      const before = await a.backplane.timeOf(session.id);
      await a.backplane.create(session);

      const record = await b.backplane.load(session.id);
      expect(record).toEqual({
        id: session.id,
        revision: '1',
        initialize: session.initialize,
        protocolVersion: '2025-06-18',
        principal: ALICE,
        createdAt: expect.any(Number) as number,
        lastSeenAt: record?.createdAt,
        active: false,
        logLevel: undefined,
        subscriptions: [],
        errors: 0,
      });
      expect(record?.createdAt).toBeGreaterThanOrEqual(before);
    });

    it('counts the requests that have ended with an error', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1', '2', '3']));
      await a.say(id, 'p', 'error', { ends: '1', failed: true });
      // A request of the server that is logged in between, and an answer without an error, do not count.
      await a.run(id, append(STANDALONE, 'question', { asks: true }));
      await a.say(id, 'p', 'answer', { ends: '2' });
      // The executor is another node, so the step changes nothing.
      await b.commit(id, append('p', 'late', { ends: '3', failed: true }));
      expect(await b.backplane.load(id)).toMatchObject({ errors: 1 });
      await a.say(id, 'p', 'error', { ends: '3', failed: true });
      expect(await b.backplane.load(id)).toMatchObject({ errors: 2 });
    });

    it('has the times of the backplane, whatever the clock of a node says', async () => {
      const { a } = rig;
      const ahead = { ...systemClock, now: () => systemClock.now() + 20 * 60_000 };
      const wrong = await rig.join({ clock: ahead });
      const id = await wrong.create();
      const before = await a.backplane.timeOf(id);
      await wrong.run(id, receive({ to: 'here' }));
      await wrong.hold(id, STANDALONE);
      const after = await a.backplane.timeOf(id);
      const { createdAt = NaN, lastSeenAt = NaN } = (await a.backplane.load(id)) ?? {};
      expect(createdAt).toBeLessThanOrEqual(before);
      expect(lastSeenAt).toBeGreaterThanOrEqual(before);
      expect(lastSeenAt).toBeLessThanOrEqual(after);
      // The session and its log do not end too early either.
      expect((await a.backplane.history(id, LOG_START, 10)).length).toBeGreaterThan(1);
    });

    // An id that was not created must be refused. With an empty hash tag, the keys of a session would be in several
    // slots of a Redis Cluster, which it refuses (CROSSSLOT). Only `session(id)` of an application passes such ids on.
    it.each(['made-up', '', '}', '{}'])(
      'does not exist if it was not created: %j',
      async (made) => {
        const { a } = rig;
        expect(await a.backplane.load(made)).toBeUndefined();
        expect(await a.commit(made, open('p', ['1']))).toEqual({ status: 'gone' });
        expect(await a.attach(made, STANDALONE)).toEqual({ status: 'gone' });
        expect(
          await a.backplane.read({
            sessionId: made,
            stream: STANDALONE,
            after: { n: 0, logId: LOG_START },
            maxBytes: 1,
          }),
        ).toEqual({ status: 'gone' });
        expect(await a.backplane.touch([{ sessionId: made, streams: [] }])).toEqual([
          { status: 'gone' },
        ]);
        expect(await a.backplane.remove(made, ANY_PRINCIPAL)).toBe(false);
        expect(await a.backplane.history(made, LOG_START, 10)).toEqual([]);
        expect(await a.backplane.load(made)).toBeUndefined();
      },
    );

    // Two nodes may happen to generate the same id. Two clients must not share one session.
    it('is not created or changed by a second creation with its id', async () => {
      const { a, b } = rig;
      const session = newSession();
      await a.backplane.create(session);
      expect(await b.backplane.create({ ...session, stream: 'other', principal: MALLORY })).toBe(
        false,
      );
      expect((await b.backplane.load(session.id))?.principal).toBe(ALICE);
      expect(await b.said(session.id)).toHaveLength(2);
    });

    it('starts with the messages of its `initialize`, numbered for each stream', async () => {
      const { a, b } = rig;
      const session = newSession({
        outbound: [
          { stream: STANDALONE, message: 'early', asks: false },
          { stream: 'init', message: 'ask', asks: true },
          { stream: STANDALONE, message: 'early too', asks: false },
          { stream: 'init', message: 'answer', asks: false },
        ],
      });
      const positions = await a.backplane.create(session);
      expect(positions && positions.map(({ n }) => n)).toEqual([0, 1, 1, 2, 2]);

      const standalone = await b.read(session.id, STANDALONE);
      expect(standalone.open).toBe(true);
      expect(standalone.events.map(({ message }) => message)).toEqual(['early', 'early too']);
      const init = await b.read(session.id, 'init');
      expect(init.open).toBe(false);
      expect(init.events).toEqual([
        { position: positions && positions[2], message: 'ask', end: false, asker: a.id },
        { position: positions && positions[4], message: 'answer', end: true },
      ]);
      // The next message goes on counting. A number that is used twice would be taken for shown.
      expect((await b.say(session.id, STANDALONE, 'third')).position.n).toBe(3);
    });

    it('is listed once, page by page', async () => {
      const { a, b } = rig;
      const ids = await Promise.all(
        ['s-1', 's-2', 's-3', 's-4', 's-5'].map((id) => a.create({ id })),
      );
      const first = await b.backplane.list(undefined, 2);
      const second = await b.backplane.list(first.next, 2);
      const third = await b.backplane.list(second.next, 2);
      expect([...first.ids, ...second.ids, ...third.ids]).toEqual(ids);
      expect(third.next).toBeUndefined();
    });

    it('keeps the messages of both directions in its log, in order', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await b.run(id, open('p', ['1'], { messages: ['in 1'] }));
      await b.run(id, append('p', 'out 1', { ends: '1' }), receive({ to: 'nobody' }, 'in 2'));

      const history = await a.said(id);
      expect(history.map(({ direction, stream, message }) => [direction, stream, message])).toEqual(
        [
          ['in', 'init', '{"method":"initialize"}'],
          ['out', 'init', '{"result":"initialized"}'],
          ['in', 'p', 'in 1'],
          ['out', 'p', 'out 1'],
          ['in', undefined, 'in 2'],
        ],
      );
      for (const { at } of history) expect(Math.abs(at - Date.now())).toBeLessThan(5_000);
      const after = history[2]?.logId ?? LOG_START;
      expect(await a.backplane.history(id, after, 1)).toEqual([history[3]]);
    });

    // Texts pass through scripts, a log and a bus that reads lines. None of these may change them.
    it('keeps every text unchanged', async () => {
      const { a, b } = rig;
      const strange = 'é 🦊 \u2028 \n \r\n \u0000 %s $1 {} "\\" 1 gone x\n';
      const id = await a.create({ initialize: strange, principal: 'who: ever\n{1}' });
      expect((await b.backplane.load(id))?.initialize).toBe(strange);
      expect((await b.backplane.load(id))?.principal).toBe('who: ever\n{1}');
      await b.hold(id, STANDALONE, { principal: 'who: ever\n{1}' });
      await a.say(id, STANDALONE, strange);
      await a.say(id, STANDALONE, '');
      expect((await b.next('event')).event.message).toBe(strange);
      expect((await b.next('event')).event.message).toBe('');
      expect(await b.texts(id, STANDALONE)).toEqual([strange, '']);
      await a.run(id, subscribe(strange));
      expect((await b.backplane.load(id))?.subscriptions).toEqual([strange]);
    });
  });

  describe('a principal', () => {
    const rig = useRig(openStore);

    // The id of a session must not be a credential, and a stranger must not learn that the session exists.
    it('has no access to the sessions of another principal', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const opened = open('p', ['1'], { principal: MALLORY });
      const received = receive({ to: 'replicas' }, 'x', { principal: MALLORY });
      expect(await b.run(id, opened, received)).toEqual([
        { status: 'denied' },
        { status: 'denied' },
      ]);
      expect(await b.attach(id, STANDALONE, { principal: MALLORY })).toEqual({ status: 'gone' });
      expect(await b.backplane.remove(id, MALLORY)).toBe(false);

      expect(await b.said(id)).toHaveLength(2);
      expect(await a.drain(b, id)).toEqual([]);
    });

    // An anonymous session is for anonymous callers only.
    it('may be the empty text, which is a principal like any other', async () => {
      const { a, b } = rig;
      const id = await a.create({ principal: '' });
      expect(await b.run(id, open('p', ['1']))).toEqual([{ status: 'denied' }]);
      expect(await b.backplane.remove(id, ALICE)).toBe(false);
      expect(await b.backplane.remove(id, '')).toBe(true);
    });

    it('does not keep the operator from deleting a session', async () => {
      const { a, b } = rig;
      const id = await a.create();
      expect(await b.backplane.remove(id, ANY_PRINCIPAL)).toBe(true);
    });
  });

  describe('an idle session', () => {
    const rig = useRig(openStore);
    /** These times are long enough that no session ends between two steps on a busy machine. */
    const SHORT = { sessionTtlMs: 1_700, pendingTtlMs: 700 };

    // Most clients send no DELETE. Sessions that never end would pile up.
    it('ends, and does so sooner if it was never `initialized`', async () => {
      const [a, b] = [await rig.join(SHORT), await rig.join(SHORT)];
      const [pending, active] = await Promise.all([a.create(), a.create()]);
      await b.run(active, receive({ to: 'initialized' }));

      const ends: string[] = [];
      const gone = async (id: string, name: string) => {
        await eventually(async () => {
          expect(await b.backplane.load(id)).toBeUndefined();
        });
        ends.push(name);
      };
      await Promise.all([gone(active, 'active'), gone(pending, 'pending')]);
      expect(ends).toEqual(['pending', 'active']);
      expect(await b.commit(active, open('p', ['1']))).toEqual({ status: 'gone' });
    });

    // A session must not end under an open GET stream or a long call.
    it('does not end while any node touches or uses it', async () => {
      const [a, b] = [await rig.join(SHORT), await rig.join(SHORT)];
      const [touched, used, attached] = await Promise.all([a.create(), a.create(), a.create()]);
      for (let at = 0; at < 12; at += 1) {
        await sleep(90);
        await b.backplane.touch([{ sessionId: touched, streams: [] }]);
        await b.commit(used, receive({ to: 'nobody' }));
        await b.attach(attached, STANDALONE);
      }
      expect(await a.backplane.load(touched)).toBeDefined();
      expect((await a.backplane.load(used))?.lastSeenAt).toBeGreaterThan(
        Date.now() - SHORT.pendingTtlMs,
      );
      expect(await a.backplane.load(attached)).toBeDefined();
      // The log must not end before its session, or an open stream would report a gap.
      for (const id of [touched, used, attached]) {
        expect(await a.texts(id, 'init')).toEqual(['{"result":"initialized"}']);
      }
    });

    // Messages of the server and requests of strangers do not show that the client is there.
    it('ends although its server sends messages or a stranger sends requests', async () => {
      const [a, b] = [await rig.join(SHORT), await rig.join(SHORT)];
      const [server, stranger] = await Promise.all([a.create(), a.create()]);
      const asStranger = { principal: MALLORY };
      await eventually(async () => {
        const replies = await Promise.all([
          b.commit(server, append(STANDALONE, 'news')),
          b.commit(stranger, receive({ to: 'here' }, 'x', asStranger)),
          b.commit(stranger, open('p', ['1'], asStranger)),
          b.attach(stranger, STANDALONE, asStranger),
        ]);
        expect(replies.map(({ status }) => status)).toEqual(['gone', 'gone', 'gone', 'gone']);
      });
    });

    // The id of an expired session may be used again. The new client must not see what the old one was told.
    it('leaves nothing to a later session with the same id', async () => {
      const [a, b] = [await rig.join(SHORT), await rig.join(SHORT)];
      const id = await a.create();
      await b.run(id, append(STANDALONE, 'secret'), subscribe('file:///secret'));
      await b.backplane.storeState(id, '1', undefined);
      await eventually(async () => {
        expect(await b.commit(id, append(STANDALONE, 'secret'))).toEqual({ status: 'gone' });
      });
      await b.create({ id, principal: MALLORY });

      expect(await a.texts(id, STANDALONE)).toEqual([]);
      expect(await a.said(id)).toHaveLength(2);
      expect((await a.backplane.load(id))?.subscriptions).toEqual([]);
      expect(await a.backplane.loadState(id)).toEqual({ version: '', value: undefined });
      expect((await a.say(id, STANDALONE, 'first')).position.n).toBe(1);
    });
  });
}
