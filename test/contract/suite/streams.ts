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
  // The clock of a new Redis master may be behind that of the old one. Bug: a node had seen a message that the failover
  // lost. The next message got the same number and a lower id, and the node took it for the one that it had seen.
  describe('a commit that names the last log id that its node has seen', () => {
    const rig = useRig(openStore);

    async function storeAfter(node: TestNode, id: string, after: string, operation: Operation) {
      node.number += 1;
      const step = { sessionId: id, number: node.number, operations: [operation], after };
      const { results } = okay(await node.backplane.commit(step));
      return results[0];
    }

    it('is stored after that place, and so are later commits of other nodes', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const after = `${Date.now() + 30_000}-7`;
      const stored = appended(await storeAfter(a, id, after, append(STANDALONE, 'one')));
      expect(compareLogIds(stored.position.logId, after)).toBeGreaterThan(0);
      // This also holds for a node that has seen no log id.
      const next = await b.say(id, STANDALONE, 'two');
      expect(compareLogIds(next.position.logId, stored.position.logId)).toBeGreaterThan(0);
      expect(await b.texts(id, STANDALONE)).toEqual(['one', 'two']);
      expect((await b.said(id)).filter(({ message }) => message === 'one')).toHaveLength(1);
      // For a reader that has seen the lost message, the same number is a new message.
      const page = await b.read(id, STANDALONE, { n: 1, logId: after });
      expect(page.events.map(({ message }) => message)).toEqual(['one', 'two']);
    });

    it('is stored after that place also when the log is nearly empty', async () => {
      const { a } = rig;
      const id = await a.create();
      const after = `${Date.now() + 30_000}-0`;
      await storeAfter(a, id, after, receive({ to: 'initialized' }, 'initialized'));
      const [last] = (await a.said(id)).slice(-1);
      expect(last?.message).toBe('initialized');
      expect(compareLogIds(last?.logId ?? '', after)).toBeGreaterThan(0);
    });

    it('gets a log id of the clock if the clock is ahead of that place', async () => {
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

    // A client resumes on a node that does not run the request. It gets the messages that it missed, and then the live
    // ones.
    it('returns the messages after it while the call still runs on another node', async () => {
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

    it('at the end of an open stream returns nothing, and the stream stays open', async () => {
      const { a, b } = rig;
      const { id, three } = await threeMessages(a);
      expect((await b.hold(id, 'p', { cursor: three })).position).toEqual(three);
      expect(await b.read(id, 'p', three)).toMatchObject({ events: [], open: true, more: false });
    });

    it('of a stream that has ended returns the remaining messages and the end', async () => {
      const { a, b } = rig;
      const { id, two } = await threeMessages(a);
      const { position: last } = await a.say(id, 'p', 'answer', { ends: '1' });
      expect((await b.hold(id, 'p', { cursor: two })).position).toEqual(two);
      const rest = await b.read(id, 'p', two);
      expect(rest.events.map(({ message }) => message)).toEqual(['three', 'answer']);
      expect(rest.open).toBe(false);
      // There is nothing to show and nothing will come, so no connection is opened.
      expect(await b.attach(id, 'p', { cursor: last })).toEqual({ status: 'ended' });
      expect(await b.read(id, 'p', last)).toMatchObject({ events: [], open: false });
    });

    // The request was cancelled. The end alone comes after the cursor, and it shows nothing.
    it('after the last message of a stream that ended without an answer finds the stream ended', async () => {
      const { a, b } = rig;
      const { id, two, three } = await threeMessages(a);
      await a.run(id, append('p', undefined, { ends: '1' }));
      expect(await b.attach(id, 'p', { cursor: three })).toEqual({ status: 'ended' });
      expect((await b.hold(id, 'p', { cursor: two })).position).toEqual(two);
    });

    // A priming event names the place of the request, which is before the first message.
    it('may name the place before the first message', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const [opened] = await a.run(id, open('p', ['1']));
      const cursor = opened?.status === 'opened' ? opened.position : BEGINNING;
      expect((await b.hold(id, 'p', { cursor })).position).toEqual(cursor);
      await a.say(id, 'p', 'one');
      expect((await b.read(id, 'p', cursor)).events).toMatchObject([{ message: 'one' }]);
    });

    // A client must not get messages of another stream.
    it('returns messages of its own stream only', async () => {
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

    it('of a stream that does not exist is unknown', async () => {
      const { a, b } = rig;
      const { id, one } = await threeMessages(a);
      expect(await b.attach(id, 'never', { cursor: one })).toEqual({ status: 'unknown' });
      expect(await b.attach(id, 'never', { cursor: BEGINNING })).toEqual({ status: 'unknown' });
    });

    // A cursor older than the log must be refused. If it replayed the rest or nothing, the client would not notice the
    // gap.
    it('is refused as trimmed when a message after it is no longer kept', async () => {
      const keepFew = { retention: { maxEvents: 5, maxAgeMs: 60_000 } };
      const [a, b] = [await rig.join(keepFew), await rig.join(keepFew)];
      const { id, one, two } = await threeMessages(a);
      // The log has five entries: the answer to `initialize`, the request, one, two, three. Then a note about the
      // resumed stream.
      expect(await b.attach(id, 'p', { cursor: one })).toMatchObject({ status: 'attached' });
      await a.say(id, 'p', 'four');
      await a.say(id, 'p', 'five');
      // The log now has `two`, the note, `three`, `four` and `five`, which is everything after `one`.
      expect(await b.attach(id, 'p', { cursor: one })).toMatchObject({ status: 'attached' });
      await a.say(id, 'p', 'six');
      expect(await b.attach(id, 'p', { cursor: one })).toEqual({ status: 'trimmed' });
      expect(await b.attach(id, 'p', { cursor: two })).toMatchObject({ status: 'attached' });
      expect(
        await b.backplane.read({ sessionId: id, stream: 'p', after: one, maxBytes: 1000 }),
      ).toEqual({ status: 'trimmed' });

      // Messages of other streams have pushed out all messages of this stream. So an empty result does not mean that
      // nothing was missed.
      for (let at = 0; at < 5; at += 1) await a.say(id, STANDALONE, `g${at}`);
      expect(await b.attach(id, 'p', { cursor: two })).toEqual({ status: 'trimmed' });
      expect(
        await b.backplane.read({ sessionId: id, stream: 'p', after: two, maxBytes: 1000 }),
      ).toEqual({ status: 'trimmed' });
      // The stream has ended, and the log keeps nothing of it, so it is unknown now.
      await a.say(id, 'p', 'answer', { ends: '1' });
      for (let at = 0; at < 5; at += 1) await a.say(id, STANDALONE, `h${at}`);
      expect(await b.attach(id, 'p', { cursor: two })).toEqual({ status: 'unknown' });
    });

    it('at the end of a stream is accepted although no message of the stream is kept', async () => {
      const node = await rig.join({ retention: { maxEvents: 4, maxAgeMs: 60_000 } });
      const { id, two, three } = await threeMessages(node);
      for (let at = 0; at < 9; at += 1) await node.say(id, STANDALONE, `g${at}`);
      expect((await rig.b.hold(id, 'p', { cursor: three })).position.n).toBe(3);
      // Bug: a failover lost the message that this cursor names, another message got its number, and the log trimmed that
      // one. The client was not told that it had missed it.
      const lost = { n: 3, logId: two.logId };
      expect(await rig.b.attach(id, 'p', { cursor: lost })).toEqual({ status: 'trimmed' });
      const read = { sessionId: id, stream: 'p', after: lost, maxBytes: 1000 };
      expect(await rig.b.backplane.read(read)).toEqual({ status: 'trimmed' });
    });

    it('is refused as trimmed when a message after it is older than `maxAgeMs`', async () => {
      const keepShort = { retention: { maxEvents: 1_000, maxAgeMs: 700 } };
      const [a, b] = [await rig.join(keepShort), await rig.join(keepShort)];
      const { id, one, three } = await threeMessages(a);
      await eventually(async () => {
        expect(await b.attach(id, 'p', { cursor: one })).toEqual({ status: 'trimmed' });
      });
      expect(await b.attach(id, 'p', { cursor: three })).toMatchObject({ status: 'attached' });
      // Numbers go on. A number that is used twice would be taken for shown.
      const { position } = await a.say(id, 'p', 'four');
      expect(position.n).toBe(4);
      expect((await b.read(id, 'p', three)).events).toMatchObject([{ message: 'four' }]);
    });

    // A failover lost the end of the log, so the client knows messages that the log does not have. The client must
    // neither wait for ever nor miss a new message that has a number which it has seen.
    it('ahead of the log goes on from the end of the log', async () => {
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
      // The numbers 4 to 9 were used before the loss. A reader that has shown number 9 now finds number 4, and has to go on
      // counting from 3.
      const after = await b.read(id, 'p', { n: 9, logId: three.logId });
      expect(after).toMatchObject({ restart: 3, events: [{ message: 'four' }] });
      const resumed = await b.hold(id, 'p', { cursor: { n: 9, logId: three.logId } });
      expect(resumed.position.n).toBe(3);
    });
  });

  describe('the standalone stream', () => {
    const rig = useRig(openStore);

    // With the SDK alone, a message is lost while no client is connected. Here the log keeps it.
    it('keeps messages while no client is connected', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.say(id, STANDALONE, 'one');
      await a.say(id, STANDALONE, 'two');
      const { position } = await b.hold(id, STANDALONE);
      expect(position).toEqual(BEGINNING);
      expect(await b.texts(id, STANDALONE)).toEqual(['one', 'two']);
    });

    it('goes on after the last message that an earlier connection has shown', async () => {
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

    // The holder died without detaching, so its last reported position counts. A message may be shown twice, but is
    // never lost.
    it('goes on after the last reported position when its holder has died', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await b.hold(id, STANDALONE, { token: 'get' });
      const { position: one } = await a.say(id, STANDALONE, 'one');
      const { position: two } = await a.say(id, STANDALONE, 'two');
      const report = (position: typeof one) =>
        b.backplane.touch([
          { sessionId: id, streams: [{ stream: STANDALONE, token: 'get', position }] },
        ]);
      expect(await report(one)).toMatchObject([
        { status: 'ok', streams: [{ last: 2, held: true }] },
      ]);
      expect((await c.hold(id, STANDALONE, { token: 'new' })).position).toEqual(one);
      // A late report of a former holder is ignored, and a report never moves the position back.
      expect(await report(two)).toMatchObject([
        { status: 'ok', streams: [{ last: 2, held: false }] },
      ]);
      expect((await c.hold(id, STANDALONE, { token: 'newer' })).position).toEqual(one);
      await c.run(id, detach(STANDALONE, 'newer', two));
      await c.run(id, detach(STANDALONE, 'newer', one));
      expect((await a.hold(id, STANDALONE)).position).toEqual(two);
    });

    // For a client without a cursor there is no promise, so it gets the messages that are left.
    it('starts with the oldest message that is kept for a client without a cursor', async () => {
      const node = await rig.join({ retention: { maxEvents: 2, maxAgeMs: 60_000 } });
      const id = await node.create();
      for (const text of ['one', 'two', 'three']) await node.say(id, STANDALONE, text);
      const { position } = await rig.b.hold(id, STANDALONE);
      expect(position.n).toBe(1);
      const { events } = await rig.b.read(id, STANDALONE, position);
      expect(events.map(({ message }) => message)).toEqual(['two', 'three']);
    });
  });

  describe('a page of a stream', () => {
    const rig = useRig(openStore);

    // A reader that is slow or far behind must not load the whole log at once.
    it('ends when it is full, and the next page begins there', async () => {
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

    it('skips messages of other streams, however many', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']), append('p', 'first'));
      await a.run(id, ...Array.from({ length: 900 }, (_, at) => append(STANDALONE, `${at}`)));
      await a.say(id, 'p', 'last');
      expect(await b.texts(id, 'p')).toEqual(['first', 'last']);
      // Bug: one GET searched a whole log in one step. Redis served no other command meanwhile.
      const page = await b.read(id, 'p');
      expect(page).toMatchObject({ events: [{ message: 'first' }], more: true });
    });

    it('skips large messages of other streams, and has those of its own after any cursor', async () => {
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
      const client = (await b.backplane.history(id, one.logId, 1))[0]?.logId ?? '';
      expect(await b.attach(id, 'p', { cursor: { n: 3, logId: client } })).toMatchObject({
        position: { n: 1 },
      });
      expect((await b.hold(id, STANDALONE)).position.n).toBe(0);
    });

    it('is found after a cursor that is followed by many entries of other streams', async () => {
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

    it('marks the requests that a node has sent to the client', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, append(STANDALONE, 'ping', { asks: true }), append(STANDALONE, 'news'));
      const { events } = await b.read(id, STANDALONE);
      expect(events.map(({ asker }) => asker)).toEqual([a.id, undefined]);
    });
  });
}
