import { describe, expect, it } from 'vitest';
import { LOG_START, STANDALONE } from '../../../src/backplane/index.js';
import {
  append,
  appended,
  BEGINNING,
  open,
  receive,
  useRig,
  type OpenStore,
  changed,
} from './rig.js';

export function describeCommits(openStore: OpenStore): void {
  describe('a call', () => {
    const rig = useRig(openStore);

    it('is stored, gets its answer, and its stream ends', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const [opened] = await b.run(id, open('p', ['1'], { token: 'post' }));
      expect(opened).toEqual({
        status: 'opened',
        position: { n: 0, logId: expect.stringMatching(/^\d+-\d+$/) as string },
      });
      const progress = await b.say(id, 'p', 'progress');
      const answer = await b.say(id, 'p', 'answer', { ends: '1' });

      expect(progress).toMatchObject({ position: { n: 1 }, token: 'post', ended: false });
      expect(answer).toMatchObject({ position: { n: 2 }, token: 'post', ended: true });
      expect(await a.read(id, 'p')).toMatchObject({
        open: false,
        events: [
          { position: progress.position, message: 'progress', end: false },
          { position: answer.position, message: 'answer', end: true },
        ],
      });
    });

    it('may be a batch, whose stream ends with the last answer', async () => {
      const { a } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1', '"two"', '3'], { messages: ['m1', 'm2', 'm3'] }));
      const ends = await a.run(
        id,
        append('p', 'b', { ends: '"two"' }),
        append('p', 'a', { ends: '1' }),
        append('p', 'c', { ends: '3' }),
      );
      expect(ends.map((result) => appended(result).ended)).toEqual([false, false, true]);
      expect(await a.said(id)).toHaveLength(8);
    });

    it('keeps the trace of its requests in the log, and for the next connection', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
      const [opened] = await a.run(
        id,
        open('p', ['1', '2'], { trace, messages: ['one', 'two'] }),
        open('q', ['3'], { messages: ['three'] }),
      );
      const logged = await b.backplane.history(id, LOG_START, 100);
      const traces = logged.filter(({ stream }) => stream === 'p' || stream === 'q');
      expect(traces.map((entry) => entry.trace)).toEqual([trace, trace, undefined]);
      const cursor = opened?.status === 'opened' ? opened.position : BEGINNING;
      expect(await b.attach(id, 'p', { cursor })).toMatchObject({ status: 'attached', trace });
      const other = await b.attach(id, 'q', { cursor: BEGINNING });
      expect(other.status === 'attached' && other.trace).toBe(undefined);
      const claim = { type: 'claim' as const, from: a.id, revision: undefined };
      const claims = await b.run(id, { ...claim, stream: 'p' }, { ...claim, stream: 'q' });
      expect(claims).toMatchObject([{ status: 'claimed', trace }, { status: 'claimed' }]);
      expect(claims[1]).not.toHaveProperty('trace');
      // The trace goes with the stream.
      await b.run(id, append('p', 'x', { ends: '1' }), append('p', 'y', { ends: '2' }));
      await a.run(id, open('p', ['4'], { messages: ['four'] }));
      const again = await b.attach(id, 'p', { cursor });
      expect(again.status === 'attached' && again.trace).toBe(undefined);
    });

    // A cancelled request ends without an answer. Its stream has to end all the same, or the client would wait for
    // ever.
    it('may end without an answer, as a cancelled call does', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['0']));
      expect(await a.run(id, append('p', undefined, { ends: '0' }))).toMatchObject([
        { status: 'appended', ended: true },
      ]);
      const { events } = await b.read(id, 'p');
      expect(events).toMatchObject([{ message: undefined, end: true }]);
    });

    // Two running requests of one id would confuse the SDK's server: it would write the answer of one into the stream
    // of the other.
    it('is refused as a duplicate while its id is in use on any node, and other calls are accepted', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['7']));
      expect(await b.run(id, open('q', ['8', '7']), open('r', ['9']))).toMatchObject([
        { status: 'duplicate' },
        { status: 'opened' },
      ]);
      expect(await b.run(id, open('s', ['8']))).toMatchObject([{ status: 'opened' }]);
      // The number 7 and the text "7" are two ids.
      expect(await b.run(id, open('t', ['"7"']))).toMatchObject([{ status: 'opened' }]);
      await a.say(id, 'p', 'answer', { ends: '7' });
      expect(await b.run(id, open('u', ['7']))).toMatchObject([{ status: 'opened' }]);
    });

    // A request ends exactly once. A late answer is dropped, and so is an answer from a node that does not run the
    // request.
    it('is answered once, and only by the node that runs it', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1', '2']), open('q', ['3']));
      expect(await b.run(id, append('p', 'forged', { ends: '1' }), append('p', 'forged'))).toEqual([
        { status: 'dropped', executor: a.id },
        { status: 'dropped', executor: a.id },
      ]);
      // A node cannot end the request of another stream either.
      expect(await a.run(id, append('p', 'x', { ends: '3' }))).toEqual([
        { status: 'dropped', executor: a.id },
      ]);
      await a.say(id, 'p', 'answer', { ends: '1' });
      expect(await a.run(id, append('p', 'again', { ends: '1' }))).toEqual([
        { status: 'dropped', executor: a.id },
      ]);
      await a.say(id, 'p', 'answer 2', { ends: '2' });
      expect(await a.run(id, append('p', 'late'))).toEqual([{ status: 'dropped' }]);
      expect(await a.texts(id, 'p')).toEqual(['answer', 'answer 2']);
    });

    // The client has left before the request began. Nothing would ever end its stream, which would keep its request ids
    // in use.
    it('can be abandoned by its own node, which frees its request ids', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']));
      await b.run(id, { type: 'abandon', stream: 'p', requests: ['1'] });
      expect(await b.run(id, open('q', ['1']))).toMatchObject([{ status: 'duplicate' }]);
      await a.run(id, { type: 'abandon', stream: 'p', requests: ['1'] });
      expect(await b.run(id, open('q', ['1']))).toMatchObject([{ status: 'opened' }]);
      expect(await a.run(id, append('p', 'late'))).toEqual([{ status: 'dropped' }]);
      expect((await a.read(id, 'p')).open).toBe(false);
    });

    it('stores what its answer changes in the record, in the same step', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1', '2', '3']));
      await a.run(
        id,
        append('p', '{}', { ends: '1', effect: { type: 'level', level: 'debug' } }),
        append('p', '{}', { ends: '2', effect: { type: 'subscribe', uri: 'file:///x' } }),
      );
      expect(await b.backplane.load(id)).toMatchObject({
        revision: changed(3),
        logLevel: 'debug',
        subscriptions: ['file:///x'],
      });
      // An answer that is dropped changes nothing in the record.
      const effect = { type: 'level', level: 'error' } as const;
      expect(await b.run(id, append('p', '{}', { ends: '3', effect }))).toEqual([
        { status: 'dropped', executor: a.id },
      ]);
      const unsubscribe = { type: 'unsubscribe', uri: 'file:///x' } as const;
      await a.run(id, append('p', '{}', { ends: '3', effect: unsubscribe }));
      expect(await b.backplane.load(id)).toMatchObject({
        revision: changed(4),
        logLevel: 'debug',
        subscriptions: [],
        errors: 0,
      });
    });
  });

  describe('a message from the client', () => {
    const rig = useRig(openStore);

    // The client may POST its answer to any node. The id of the server's request names the node that asked.
    it('for one node reaches that node, and no other', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      const toC = receive({ to: 'node', nodeId: c.id }, 'answer');
      expect(await b.run(id, toC)).toEqual([{ status: 'received', here: false }]);
      expect(await c.next('deliver')).toEqual({
        type: 'deliver',
        sessionId: id,
        message: 'answer',
      });
      expect(await c.run(id, toC)).toEqual([{ status: 'received', here: true }]);
      expect(await a.drain(b, id)).toEqual([]);
      expect(await c.drain(b, id)).toEqual([]);
    });

    // Bug: a cancellation was acknowledged and dropped, and the handler ran on. Id 0 is an id like any other.
    it('for the executor of a request reaches the node that runs it, also for request id 0', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const cancel = receive({ to: 'executor', request: '0' }, 'cancel 0');
      await a.run(id, open('p', ['0']));
      expect(await b.run(id, cancel)).toEqual([{ status: 'received', here: false }]);
      expect((await a.next('deliver')).message).toBe('cancel 0');
      expect(await a.run(id, cancel)).toEqual([{ status: 'received', here: true }]);
      await a.say(id, 'p', 'answer', { ends: '0' });
      expect(await a.run(id, cancel)).toEqual([{ status: 'received', here: false }]);
      expect(await b.run(id, cancel)).toEqual([{ status: 'received', here: false }]);
      expect(await a.drain(b, id)).toEqual([]);
    });

    it('for no node is stored and delivered to none', async () => {
      const { a, b } = rig;
      const id = await a.create();
      expect(await b.run(id, receive({ to: 'nobody' }, 'whose?'))).toEqual([
        { status: 'received', here: false },
      ]);
      expect(await a.drain(b, id)).toEqual([]);
      expect((await a.said(id)).slice(0, 3)).toMatchObject([
        {},
        {},
        { direction: 'in', message: 'whose?' },
      ]);
    });
  });

  describe('a message from the server', () => {
    const rig = useRig(openStore);

    it('is shown to the connection that holds its stream, on any node', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await b.hold(id, STANDALONE, { token: 'get' });
      const { position, token } = await a.say(id, STANDALONE, 'hello', { asks: true });
      expect(token).toBeUndefined();
      expect(await b.next('event')).toEqual({
        type: 'event',
        sessionId: id,
        stream: STANDALONE,
        token: 'get',
        inline: true,
        event: { position, message: 'hello', end: false, asker: a.id },
      });
      // The holder's own node learns of its message from the reply, without a wake-up. Each message names the one
      // before it.
      const mine = await b.say(id, STANDALONE, 'mine');
      expect(mine).toMatchObject({ token: 'get', before: position.logId });
      await a.say(id, STANDALONE, 'after it');
      expect((await b.next('event')).event.before).toBe(mine.position.logId);
      expect(await b.drain(a, id)).toEqual([]);
      expect(await c.drain(a, id)).toEqual([]);
    });

    it('without a text tells the holder that its stream has ended', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']));
      await b.hold(id, 'p', { cursor: BEGINNING, token: 'resumed' });
      await a.run(id, append('p', undefined, { ends: '1' }));
      expect((await b.next('event')).event).toMatchObject({ message: undefined, end: true });
    });

    // The answers and notifications of one session that wait together travel in one commit, in their order.
    it('keeps its place among the messages of the same commit', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await b.hold(id, STANDALONE);
      const many = Array.from({ length: 50 }, (_, at) => append(STANDALONE, `m${at}`));
      await a.run(id, ...many);
      const told = await b.drain(a, id);
      expect(told.map((m) => m.type === 'event' && m.event.position.n)).toEqual(
        many.map((_, at) => at + 1),
      );
      expect(await b.texts(id, STANDALONE)).toEqual(many.map(({ message }) => message));
    });

    // Every subscriber of a Redis server would pay for a megabyte on the bus, so the holder may have to read it from
    // the log.
    it('that is large arrives with its wake-up, or can be read from the log', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const big = 'x'.repeat(300_000);
      await b.hold(id, STANDALONE);
      await a.say(id, STANDALONE, big);
      const { event, inline } = await b.next('event');
      expect(inline ? event.message : (await b.texts(id, STANDALONE))[0]).toBe(big);
    });

    it('never reaches a stream of another session', async () => {
      const { a, b, c } = rig;
      const [one, two] = await Promise.all([a.create(), a.create()]);
      await b.hold(one, STANDALONE);
      await c.hold(two, STANDALONE);
      await a.run(one, open('p', ['1']));
      await a.say(one, STANDALONE, 'for one');
      await a.say(two, STANDALONE, 'for two');

      expect((await b.next('event')).event.message).toBe('for one');
      expect((await c.next('event')).event.message).toBe('for two');
      expect(await b.drain(a, one)).toEqual([]);
      expect(await c.drain(a, two)).toEqual([]);
      expect(await b.texts(two, STANDALONE)).toEqual(['for two']);
      // The streams and request ids of one session do not exist for another.
      expect(await a.run(two, append('p', 'astray'))).toEqual([{ status: 'dropped' }]);
      expect(await a.run(two, append('p', 'astray', { ends: '1' }))).toEqual([
        { status: 'dropped' },
      ]);
      expect(await b.run(two, open('q', ['1']))).toMatchObject([{ status: 'opened' }]);
      // A cursor is looked up in the log of its own session only.
      const { position } = await a.say(one, 'p', 'of one', { ends: '1' });
      expect(await c.attach(two, 'p', { cursor: position })).toEqual({ status: 'unknown' });
    });
  });
}
