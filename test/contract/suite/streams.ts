import { describe, expect, it } from 'vitest';
import type { Operation } from '../../../src/backplane/index.js';
import { compareLogIds, STANDALONE } from '../../../src/backplane/index.js';
import {
  append,
  appended,
  BEGINNING,
  detach,
  eventually,
  okay,
  open,
  receive,
  useRig,
  type OpenStore,
  type TestNode,
} from './rig.js';

export function describeStreams(openStore: OpenStore): void {
  // The clock of a new master may be behind that of the one before. Who had seen a message that the failover lost took the
  // next one, with the same number and a lower id, for the one that it had.
  describe('what is stored after a place in the log that its node has seen', () => {
    const rig = useRig(openStore);

    async function storeAfter(node: TestNode, id: string, after: string, operation: Operation) {
      node.number += 1;
      const step = { sessionId: id, number: node.number, operations: [operation], after };
      const { results } = okay(await node.membership.commit(step));
      return results[0];
    }

    it('comes after it, and so does what follows', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const after = `${Date.now() + 30_000}-7`;
      const stored = appended(await storeAfter(a, id, after, append(STANDALONE, 'one')));
      expect(compareLogIds(stored.position.logId, after)).toBeGreaterThan(0);
      // By a node that has seen nothing, too.
      const next = await b.say(id, STANDALONE, 'two');
      expect(compareLogIds(next.position.logId, stored.position.logId)).toBeGreaterThan(0);
      expect(await b.texts(id, STANDALONE)).toEqual(['one', 'two']);
      expect((await b.said(id)).filter(({ message }) => message === 'one')).toHaveLength(1);
      // A reader of what was lost: its number comes again, and it is a new message all the same.
      const page = await b.read(id, STANDALONE, { n: 1, logId: after });
      expect(page.events.map(({ message }) => message)).toEqual(['one', 'two']);
    });

    it('comes after it among the first entries of a log, too', async () => {
      const { a } = rig;
      const id = await a.create();
      const after = `${Date.now() + 30_000}-0`;
      await storeAfter(a, id, after, receive({ to: 'initialized' }, 'initialized'));
      const [last] = (await a.said(id)).slice(-1);
      expect(last?.message).toBe('initialized');
      expect(compareLogIds(last?.logId ?? '', after)).toBeGreaterThan(0);
    });

    it('goes by the clock where that is ahead', async () => {
      const { a } = rig;
      const id = await a.create();
      const after = `${Date.now() - 30_000}-0`;
      const stored = appended(await storeAfter(a, id, after, append(STANDALONE, 'one')));
      expect(Number.parseInt(stored.position.logId, 10)).toBeGreaterThan(Date.now() - 10_000);
    });
  });

  describe('a cursor', () => {
    const rig = useRig(openStore);

    async function threeMessages(node: TestNode) {
      const id = await node.create();
      await node.run(id, open('p', ['1']));
      const positions = [];
      for (const text of ['one', 'two', 'three']) {
        positions.push((await node.say(id, 'p', text)).position);
      }
      const [one, two, three] = positions;
      if (!one || !two || !three) throw new Error('three were said');
      return { id, one, two, three };
    }

    // Resume on a node without the running request: what was missed, then live.
    it('brings what came after it, while the call goes on elsewhere', async () => {
      const { a, b } = rig;
      const { id, one } = await threeMessages(a);
      const { position, protocolVersion } = await b.hold(id, 'p', { cursor: one, token: 'get' });
      expect(position).toEqual(one);
      expect(protocolVersion).toBe('2025-06-18');
      const { events, open: isOpen, scanned, more } = await b.read(id, 'p', position);
      expect(events.map(({ message }) => message)).toEqual(['two', 'three']);
      expect({ isOpen, more }).toEqual({ isOpen: true, more: false });

      await a.say(id, 'p', 'answer', { ends: '1' });
      expect((await b.next('event')).event).toMatchObject({
        message: 'answer',
        position: { n: 4 },
      });
      const rest = await b.read(id, 'p', { n: 3, logId: scanned });
      expect(rest).toMatchObject({ open: false, events: [{ message: 'answer', end: true }] });
    });

    it('at the end of an open stream has nothing to read, and waits', async () => {
      const { a, b } = rig;
      const { id, three } = await threeMessages(a);
      expect((await b.hold(id, 'p', { cursor: three })).position).toEqual(three);
      expect(await b.read(id, 'p', three)).toMatchObject({ events: [], open: true, more: false });
    });

    it('of a stream that has ended brings the rest, and that it has ended', async () => {
      const { a, b } = rig;
      const { id, two } = await threeMessages(a);
      const { position: last } = await a.say(id, 'p', 'answer', { ends: '1' });
      expect((await b.hold(id, 'p', { cursor: two })).position).toEqual(two);
      const rest = await b.read(id, 'p', two);
      expect(rest.events.map(({ message }) => message)).toEqual(['three', 'answer']);
      expect(rest.open).toBe(false);
      // Nothing to show, nor will there be: a connection would be opened for nothing.
      expect(await b.attach(id, 'p', { cursor: last })).toEqual({ status: 'ended' });
      expect(await b.read(id, 'p', last)).toMatchObject({ events: [], open: false });
    });

    // Cancelled: what comes after the cursor is the bare end, which shows nothing.
    it('behind the last message of a stream that ended without an answer has come to its end', async () => {
      const { a, b } = rig;
      const { id, two, three } = await threeMessages(a);
      await a.run(id, append('p', undefined, { ends: '1' }));
      expect(await b.attach(id, 'p', { cursor: three })).toEqual({ status: 'ended' });
      expect((await b.hold(id, 'p', { cursor: two })).position).toEqual(two);
    });

    // The priming event: a cursor before the first message, at the place of the request.
    it('may stand before the first message', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const [opened] = await a.run(id, open('p', ['1']));
      const cursor = opened?.status === 'opened' ? opened.position : BEGINNING;
      expect((await b.hold(id, 'p', { cursor })).position).toEqual(cursor);
      await a.say(id, 'p', 'one');
      expect((await b.read(id, 'p', cursor)).events).toMatchObject([{ message: 'one' }]);
    });

    // Replaying one stream's messages on another shows them twice, or to somebody who did not ask.
    it('brings messages of its own stream only', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']), open('q', ['2']));
      const { position } = await a.say(id, 'p', 'p1');
      await a.run(id, append('q', 'q1'), append(STANDALONE, 'g1'), append('p', 'p2'));
      await a.say(id, 'q', 'q2');
      await a.run(id, receive({ to: 'nobody' }, 'inbound'));
      expect((await b.read(id, 'p', position)).events).toMatchObject([{ message: 'p2' }]);
      expect((await b.read(id, 'q')).events.map(({ position: { n } }) => n)).toEqual([1, 2]);
      expect(await b.texts(id, STANDALONE)).toEqual(['g1']);
    });

    it('of a stream that never was is unknown', async () => {
      const { a, b } = rig;
      const { id, one } = await threeMessages(a);
      expect(await b.attach(id, 'never', { cursor: one })).toEqual({ status: 'unknown' });
      expect(await b.attach(id, 'never', { cursor: BEGINNING })).toEqual({ status: 'unknown' });
    });

    // An evicted cursor that replays nothing, or the rest, and goes on: a gap that nobody notices.
    it('older than what is kept is told so', async () => {
      const keepFew = { retention: { maxEvents: 5, maxAgeMs: 60_000 } };
      const [a, b] = [await rig.join(keepFew), await rig.join(keepFew)];
      const { id, one, two } = await threeMessages(a);
      // answer to initialize, request, one, two, three: all there; that a stream is resumed is logged, too
      expect(await b.attach(id, 'p', { cursor: one })).toMatchObject({ status: 'attached' });
      await a.say(id, 'p', 'four');
      await a.say(id, 'p', 'five');
      // two, three, resumed, four, five are left: the cursor at one has all that comes after it
      expect(await b.attach(id, 'p', { cursor: one })).toMatchObject({ status: 'attached' });
      await a.say(id, 'p', 'six');
      expect(await b.attach(id, 'p', { cursor: one })).toEqual({ status: 'trimmed' });
      expect(await b.attach(id, 'p', { cursor: two })).toMatchObject({ status: 'attached' });
      expect(
        await b.membership.read({ sessionId: id, stream: 'p', after: one, maxBytes: 1000 }),
      ).toEqual({ status: 'trimmed' });

      // All of its messages pushed out by those of others: nothing left is not nothing missed.
      for (let at = 0; at < 5; at += 1) await a.say(id, STANDALONE, `g${at}`);
      expect(await b.attach(id, 'p', { cursor: two })).toEqual({ status: 'trimmed' });
      expect(
        await b.membership.read({ sessionId: id, stream: 'p', after: two, maxBytes: 1000 }),
      ).toEqual({ status: 'trimmed' });
      // Ended, and no longer kept: not known any more.
      await a.say(id, 'p', 'answer', { ends: '1' });
      for (let at = 0; at < 5; at += 1) await a.say(id, STANDALONE, `h${at}`);
      expect(await b.attach(id, 'p', { cursor: two })).toEqual({ status: 'unknown' });
    });

    it('at the end of a stream whose messages are no longer kept has missed nothing', async () => {
      const node = await rig.join({ retention: { maxEvents: 4, maxAgeMs: 60_000 } });
      const { id, three } = await threeMessages(node);
      for (let at = 0; at < 9; at += 1) await node.say(id, STANDALONE, `g${at}`);
      expect((await rig.b.hold(id, 'p', { cursor: three })).position.n).toBe(3);
    });

    it('older than events are kept is told so', async () => {
      const keepShort = { retention: { maxEvents: 1_000, maxAgeMs: 700 } };
      const [a, b] = [await rig.join(keepShort), await rig.join(keepShort)];
      const { id, one, three } = await threeMessages(a);
      await eventually(async () => {
        expect(await b.attach(id, 'p', { cursor: one })).toEqual({ status: 'trimmed' });
      });
      expect(await b.attach(id, 'p', { cursor: three })).toMatchObject({ status: 'attached' });
      // The count goes on: a number given out twice would be taken for one that was shown.
      const { position } = await a.say(id, 'p', 'four');
      expect(position.n).toBe(4);
      expect((await b.read(id, 'p', three)).events).toMatchObject([{ message: 'four' }]);
    });

    // A failover lost the end of the log: the client knows messages that the log does not.
    // It must neither wait for ever nor take the next message for one that it has seen.
    it('ahead of the log goes on from where the log is', async () => {
      const { a, b } = rig;
      const { id, three } = await threeMessages(a);
      const ahead = { n: 9, logId: '99999999999999-0' };
      const { position } = await b.hold(id, 'p', { cursor: ahead });
      expect(position).toEqual(three);
      const lost = await b.read(id, 'p', ahead);
      expect(lost).toMatchObject({ events: [], restart: 3, scanned: three.logId, open: true });
      await a.say(id, 'p', 'four');
      expect((await b.read(id, 'p', position)).events).toMatchObject([
        { message: 'four', position: { n: 4 } },
      ]);
      // Its number was given out before the loss: a reader that has shown a 9 meets 4, and must count on from 3.
      const after = await b.read(id, 'p', { n: 9, logId: three.logId });
      expect(after).toMatchObject({ restart: 3, events: [{ message: 'four' }] });
      const resumed = await b.hold(id, 'p', { cursor: { n: 9, logId: three.logId } });
      expect(resumed.position.n).toBe(3);
    });
  });

  describe('the standalone stream', () => {
    const rig = useRig(openStore);

    // Nobody subscribed, and the message is gone: here the log keeps it until somebody is.
    it('keeps what was said while nobody listened', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.say(id, STANDALONE, 'one');
      await a.say(id, STANDALONE, 'two');
      const { position } = await b.hold(id, STANDALONE);
      expect(position).toEqual(BEGINNING);
      expect(await b.texts(id, STANDALONE)).toEqual(['one', 'two']);
    });

    it('goes on after what an earlier connection has written', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await b.hold(id, STANDALONE, { token: 'get' });
      const { position: one } = await a.say(id, STANDALONE, 'one');
      await a.say(id, STANDALONE, 'two');
      await b.run(id, detach(STANDALONE, 'get', one));
      const { position, previous } = await c.hold(id, STANDALONE);
      expect(previous).toBeUndefined();
      expect(position).toEqual(one);
      expect((await c.read(id, STANDALONE, position)).events).toMatchObject([{ message: 'two' }]);
    });

    // The holder died without a word: its last reported position counts. At least once, never lost.
    it('goes on after what was reported in time when its holder has died', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await b.hold(id, STANDALONE, { token: 'get' });
      const { position: one } = await a.say(id, STANDALONE, 'one');
      const { position: two } = await a.say(id, STANDALONE, 'two');
      const report = (position: typeof one) =>
        b.membership.touch([
          { sessionId: id, streams: [{ stream: STANDALONE, token: 'get', position }] },
        ]);
      expect(await report(one)).toMatchObject([
        { status: 'ok', streams: [{ last: 2, held: true }] },
      ]);
      expect((await c.hold(id, STANDALONE, { token: 'new' })).position).toEqual(one);
      // Late, and no longer the holder's to say. A report never goes back either.
      expect(await report(two)).toMatchObject([
        { status: 'ok', streams: [{ last: 2, held: false }] },
      ]);
      expect((await c.hold(id, STANDALONE, { token: 'newer' })).position).toEqual(one);
      await c.run(id, detach(STANDALONE, 'newer', two));
      await c.run(id, detach(STANDALONE, 'newer', one));
      expect((await a.hold(id, STANDALONE)).position).toEqual(two);
    });

    // No promise of completeness was given out yet: a client without a cursor begins with what is left.
    it('begins with what is left where the beginning is no longer kept', async () => {
      const node = await rig.join({ retention: { maxEvents: 2, maxAgeMs: 60_000 } });
      const id = await node.create();
      for (const text of ['one', 'two', 'three']) await node.say(id, STANDALONE, text);
      const { position } = await rig.b.hold(id, STANDALONE);
      expect(position.n).toBe(1);
      const { events } = await rig.b.read(id, STANDALONE, position);
      expect(events.map(({ message }) => message)).toEqual(['two', 'three']);
    });
  });

  describe('a page', () => {
    const rig = useRig(openStore);

    // A slow reader, or one far behind, must not load the whole log at once.
    it('ends where it is full, and the next one goes on there', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const texts = Array.from({ length: 25 }, (_, at) => `${at}`.padStart(100, '.'));
      await a.run(id, ...texts.map((text) => append(STANDALONE, text)));
      const maxBytes = 9.5 * rig.sizeOf('.'.repeat(100));
      const seen: (string | undefined)[] = [];
      let pages = 0;
      let after = BEGINNING;
      for (;;) {
        const { events, scanned, more } = await b.read(id, STANDALONE, after, maxBytes);
        pages += 1;
        seen.push(...events.map(({ message }) => message));
        after = { n: events.at(-1)?.position.n ?? after.n, logId: scanned };
        if (!more) break;
        expect(events).toHaveLength(10);
      }
      expect(seen).toEqual(texts);
      expect(pages).toBe(3);
    });

    it('passes over what belongs to other streams, however much', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']), append('p', 'first'));
      await a.run(id, ...Array.from({ length: 900 }, (_, at) => append(STANDALONE, `${at}`)));
      await a.say(id, 'p', 'last');
      expect(await b.texts(id, 'p')).toEqual(['first', 'last']);
      // One GET had a whole log looked through in one step, during which nobody else was served.
      const page = await b.read(id, 'p');
      expect(page).toMatchObject({ events: [{ message: 'first' }], more: true });
    });

    it('passes over large messages of others, and shows those of its own, wherever it begins', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const large = (text: string) => text.padEnd(150_000, '.');
      await a.run(id, open('p', ['1'], { messages: [large('call')] }));
      const { position: one } = await a.say(id, 'p', 'one');
      await a.run(id, receive({ to: 'nobody' }, large('client')), append(STANDALONE, large('g1')));
      const { position: two } = await a.say(id, 'p', large('two'));
      await a.run(id, append(STANDALONE, 'g2'), append(STANDALONE, large('g3')));
      const { position: end } = await a.say(id, 'p', large('three'), { ends: '1' });
      await a.run(id, append(STANDALONE, large('g4')));
      const three = ['one', large('two'), large('three')];
      expect(await b.texts(id, 'p')).toEqual(three);
      expect(await b.texts(id, STANDALONE)).toEqual([large('g1'), 'g2', large('g3'), large('g4')]);
      for (const [at, cursor] of [one, two].entries()) {
        expect((await b.hold(id, 'p', { cursor })).position).toEqual(cursor);
        const { events } = await b.read(id, 'p', cursor, 1);
        expect(events.map(({ message }) => message)).toEqual([three[at + 1]]);
      }
      expect(await b.attach(id, 'p', { cursor: end })).toEqual({ status: 'ended' });
      const client = (await b.membership.history(id, one.logId, 1))[0]?.logId ?? '';
      expect(await b.attach(id, 'p', { cursor: { n: 3, logId: client } })).toMatchObject({
        position: { n: 1 },
      });
      expect((await b.hold(id, STANDALONE)).position.n).toBe(0);
    });

    it('is found from a cursor with a long log of others behind it, or there is none', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']), open('q', ['2']));
      const { position: one } = await a.say(id, 'p', 'one');
      const { position: q } = await a.say(id, 'q', 'over', { ends: '2' });
      await a.run(id, ...Array.from({ length: 700 }, (_, at) => append(STANDALONE, `${at}`)));
      expect(await b.attach(id, 'q', { cursor: q })).toEqual({ status: 'ended' });
      expect(await b.attach(id, 'q', { cursor: { n: 0, logId: one.logId } })).toMatchObject({
        position: { n: 0, logId: one.logId },
      });
      expect((await b.hold(id, 'p', { cursor: one })).position).toEqual(one);
      await a.say(id, 'p', 'two', { ends: '1' });
      expect((await b.hold(id, 'p', { cursor: one })).position).toEqual(one);
    });

    it('tells requests of a node from other messages', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, append(STANDALONE, 'ping', { asks: true }), append(STANDALONE, 'news'));
      const { events } = await b.read(id, STANDALONE);
      expect(events.map(({ asker }) => asker)).toEqual([a.id, undefined]);
    });
  });
}
