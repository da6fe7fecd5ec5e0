import { describe, expect, it } from 'vitest';
import { STANDALONE } from '../../../src/backplane/index.js';
import { BEGINNING, detach, open, useRig, type OpenStore } from './rig.js';

export function describeHolders(openStore: OpenStore): void {
  describe('the holder of a stream', () => {
    const rig = useRig(openStore);

    // A dropped connection can look alive for minutes, so the newest connection becomes the holder.
    it('is the newest connection, which is told which connection it replaced', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      expect((await b.hold(id, STANDALONE, { token: 'b1' })).previous).toBeUndefined();
      expect((await c.hold(id, STANDALONE, { token: 'c1' })).previous).toEqual({
        nodeId: b.id,
        token: 'b1',
      });
      await b.next('taken');
      await a.say(id, STANDALONE, 'news');
      expect((await c.next('event')).token).toBe('c1');
      expect(await b.drain(a, id)).toEqual([]);
      const streams = [{ stream: STANDALONE, token: 'b1', position: BEGINNING }];
      expect(await b.backplane.touch([{ sessionId: id, streams }])).toMatchObject([
        { status: 'ok', streams: [{ last: 1, held: false }] },
      ]);
    });

    // The node that takes a stream over asks the old holder to release it, or undoes its claim. If it dies in between,
    // it does neither, so the claim itself has to tell the old holder.
    it('is told by the claim itself that a connection on another node has replaced it', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1'], { token: 'post' }));
      for (const [holder, stream, token] of [
        [b, STANDALONE, 'b1'],
        [a, 'p', 'post'],
      ] as const) {
        if (stream === STANDALONE) await holder.hold(id, stream, { token });
        await holder.drain(c, id);
        await c.hold(id, stream, { token: 'c1', cursor: BEGINNING });
        await c.hold(id, stream, { token: 'c1', cursor: BEGINNING }); // the reply to this attach was lost
        await c.hold(id, stream, { token: 'c2', cursor: BEGINNING }); // a node is not told of its own connections
        const taken = { type: 'taken', sessionId: id, stream, token };
        const told = await holder.drain(c, id);
        expect(told.filter(({ type }) => type === 'taken')).toEqual([taken]);
      }
      expect(await c.drain(a, id)).toEqual([]);
    });

    // A failover may lose the claim of a connection that stays open. Without this check, the connection would show what is
    // in the log now, and nothing later.
    it('can read its stream, and a connection that has given the stream up cannot', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.say(id, STANDALONE, 'news');
      const read = (token: string) =>
        b.backplane.read({
          ...{ sessionId: id, stream: STANDALONE, after: BEGINNING, token, maxBytes: 1000 },
        });
      await b.hold(id, STANDALONE, { token: 'b1' });
      expect(await read('b1')).toMatchObject({ status: 'ok' });
      await b.run(id, detach(STANDALONE, 'b1'));
      expect(await read('b1')).toEqual({ status: 'lost' });
    });

    // A refused claim changes nothing, so the holder has nothing to look at.
    it('is not told of a claim that was refused', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await b.hold(id, STANDALONE, { token: 'b1' });
      await c.attach(id, STANDALONE, { token: 'c1', unlessHeld: true });
      await c.attach(id, STANDALONE, {
        token: 'c1',
        cursor: { n: 0, logId: '1-0' },
        principal: 'mallory',
      });
      expect(await b.drain(a, id)).toEqual([]);
    });

    it('is a connection and not a node: another connection of the same node replaces it', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await b.hold(id, STANDALONE, { token: 'b1' });
      expect((await b.hold(id, STANDALONE, { token: 'b2' })).previous).toEqual({
        nodeId: b.id,
        token: 'b1',
      });
      expect((await b.say(id, STANDALONE, 'news')).token).toBe('b2');
    });

    // An old connection may close after a new one has replaced it. If that cleared the claim of the new one, the new
    // one would hear nothing more.
    it('stays the holder when the connection that it replaced closes late', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await b.hold(id, STANDALONE, { token: 'b1' });
      await b.hold(id, STANDALONE, { token: 'b2' });
      await b.run(id, detach(STANDALONE, 'b1'));
      await c.run(id, detach(STANDALONE, 'b2')); // a connection of another node has the same token
      await a.say(id, STANDALONE, 'news');
      expect((await b.next('event')).token).toBe('b2');

      await b.run(id, detach(STANDALONE, 'b2'));
      await a.say(id, STANDALONE, 'later');
      expect(await b.drain(a, id)).not.toContainEqual(expect.objectContaining({ type: 'event' }));
    });

    // The client of a POST stream may leave before it has a cursor. What it missed is in the log.
    it('of a POST stream may leave while the call runs on', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1'], { token: 'post' }));
      const { position } = await a.say(id, 'p', 'one');
      await a.run(id, detach('p', 'post', position));
      expect((await a.say(id, 'p', 'two')).token).toBeUndefined();
      expect((await b.hold(id, 'p', { cursor: position })).previous).toBeUndefined();
      expect((await b.read(id, 'p', position)).events).toMatchObject([{ message: 'two' }]);
    });

    it('of a stream that has ended is not stored', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']));
      await a.say(id, 'p', 'answer', { ends: '1' });
      expect((await b.hold(id, 'p', { cursor: BEGINNING })).previous).toBeUndefined();
      expect((await c.hold(id, 'p', { cursor: BEGINNING })).previous).toBeUndefined();
    });

    // With `standaloneStream: 'reject'` a second GET gets 409, as with the SDK, unless the holder is dead.
    it('keeps its stream from a connection that asks with `unlessHeld`, unless its node is dead', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      const polite = { token: 'c1', unlessHeld: true };
      expect(await b.attach(id, STANDALONE, { ...polite, token: 'b1' })).toMatchObject({
        status: 'attached',
      });
      const conflict = await c.attach(id, STANDALONE, polite);
      const holder = { nodeId: b.id, token: 'b1' };
      expect(conflict).toEqual({ status: 'conflict', holder });
      await a.say(id, STANDALONE, 'news');
      expect((await b.next('event')).token).toBe('b1');

      expect(
        await c.attach(id, STANDALONE, { ...polite, deadHolder: { ...holder, token: 'x' } }),
      ).toEqual(conflict);
      expect(await c.attach(id, STANDALONE, { ...polite, deadHolder: holder })).toMatchObject({
        status: 'attached',
        previous: { nodeId: b.id, token: 'b1' },
      });
      // Another connection has replaced the dead holder already.
      expect(
        await a.attach(id, STANDALONE, { token: 'a1', unlessHeld: true, deadHolder: holder }),
      ).toMatchObject({ status: 'conflict' });
      await c.run(id, detach(STANDALONE, 'c1'));
      expect(await a.attach(id, STANDALONE, polite)).toMatchObject({ status: 'attached' });
    });

    it('stays the holder when a connection whose client has gone comes to its turn', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await b.hold(id, STANDALONE, { token: 'b1' });
      const isWanted = () => false;
      expect(await c.attach(id, STANDALONE, { isWanted })).toEqual({ status: 'unwanted' });
      await a.say(id, STANDALONE, 'news');
      expect((await b.next('event')).token).toBe('b1');
    });

    it('is told to close its connection, on any node', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      const hangup = { type: 'hangup', stream: STANDALONE } as const;
      expect(await a.run(id, hangup)).toEqual([{ status: 'received', here: false }]);
      await b.hold(id, STANDALONE, { token: 'b1' });
      expect(await a.run(id, hangup)).toEqual([{ status: 'received', here: false }]);
      expect(await b.next('hangup')).toEqual({
        type: 'hangup',
        sessionId: id,
        stream: STANDALONE,
        token: 'b1',
      });
      expect(await b.run(id, hangup)).toEqual([{ status: 'received', here: true, token: 'b1' }]);
      expect(await c.drain(a, id)).toEqual([]);
    });

    it('is reported for many sessions in one call, in the order of the request', async () => {
      const { a, b } = rig;
      const ids = await Promise.all([a.create(), a.create(), a.create()]);
      const [one, two, three] = ids;
      await b.hold(one, STANDALONE, { token: 't' });
      await a.say(one, STANDALONE, 'news');
      await b.backplane.remove(two, 'alice');
      const streams = [{ stream: STANDALONE, token: 't', position: BEGINNING }];
      const touched = await b.backplane.touch(ids.map((sessionId) => ({ sessionId, streams })));
      expect(touched).toMatchObject([
        { status: 'ok', streams: [{ last: 1, held: true }] },
        { status: 'gone' },
        { status: 'ok', streams: [{ last: 0, held: false }] },
      ]);
      expect(await b.backplane.touch([])).toEqual([]);
      expect(three).toBeDefined();
    });
  });
}
