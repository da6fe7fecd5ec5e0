import { describe, expect, it } from 'vitest';
import type { NodeMessage } from '../../../src/backplane/index.js';
import { RELEASED } from '../../../src/backplane/index.js';
import { eventually, TestNode, useRig, type OpenStore } from './rig.js';

export function describeLeases(openStore: OpenStore): void {
  describe('a node', () => {
    const rig = useRig(openStore);

    it('counts as alive until it leaves', async () => {
      const { a, b, c } = rig;
      expect(await a.backplane.alive([a.id, b.id, c.id, 'never'])).toEqual(
        new Set([a.id, b.id, c.id]),
      );
      expect(await a.backplane.alive([])).toEqual(new Set());
      await c.backplane.leave();
      expect(await a.backplane.alive([a.id, b.id, c.id])).toEqual(new Set([a.id, b.id]));
    });

    it('renews its lease before it runs out', async () => {
      const { a } = rig;
      // A node renews its lease three times in this time. The time is long enough for a busy machine.
      const short = await rig.join({ leaseMs: 900 });
      const until = Date.now() + 2_200;
      while (Date.now() < until) {
        expect(await a.backplane.alive([short.id])).toEqual(new Set([short.id]));
      }
      expect(short.backplane.trouble()).toBeUndefined();
    });

    it('gets the messages that are sent to it in order, and no others', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      const connection = { sessionId: id, stream: 'g', token: 't' };
      const run = {
        type: 'run',
        sessionId: id,
        stream: 'p',
        replyTo: a.id,
        context: '{}',
      } as const;
      const messages: NodeMessage[] = [
        { type: 'release', ...connection, replyTo: a.id, ref: 'r1' },
        { type: 'released', ref: 'r1', position: { n: 3, logId: '17-2' } },
        { type: 'released', ref: 'r2', position: undefined },
        { type: 'gone', sessionId: id },
        { type: 'followed', sessionId: id, by: undefined },
        { type: 'followed', sessionId: id, by: c.id },
        { type: 'hangup', ...connection },
        { type: 'deliver', sessionId: id, message: 'two\nlines' },
        { ...run, messages: ['one', '', 'tw\no'] },
        { ...run, messages: undefined },
        {
          type: 'placed',
          sessionId: id,
          stream: 'p',
          executor: `${RELEASED}${a.id}`,
          begun: false,
        },
        { type: 'placed', sessionId: id, stream: 'p', executor: undefined, begun: true },
        { type: 'disowned', sessionId: id },
        { type: 'held', ...connection },
        { type: 'taken', ...connection },
        { type: 'orphaned', ...connection },
        {
          type: 'check',
          streams: [
            { sessionId: id, stream: 'p' },
            { sessionId: 's-2', stream: 'q' },
          ],
        },
      ];
      // A node does not wait for one message to be sent before it sends the next.
      await Promise.all(messages.map((message) => a.backplane.send(b.id, message)));
      await eventually(() => {
        expect(b.inbox).toHaveLength(messages.length);
      });
      expect(b.inbox).toEqual(messages);
      expect(await c.drain(a, id)).toEqual([]);
      // A message to a node that does not exist is no error.
      await a.backplane.send('never', { type: 'gone', sessionId: id });
    });

    it('can send a message to itself', async () => {
      const { a } = rig;
      await a.backplane.send(a.id, { type: 'gone', sessionId: 'x' });
      expect(await a.next('gone')).toEqual({ type: 'gone', sessionId: 'x' });
    });

    it('that has left gets no messages, and every operation of it is refused', async () => {
      const { a } = rig;
      const leaver = await rig.join();
      const id = await leaver.create();
      await leaver.backplane.leave();
      await leaver.backplane.leave();
      const closed = { code: 'closed' };
      await expect(leaver.backplane.load(id)).rejects.toMatchObject(closed);
      await expect(leaver.commit(id, { type: 'forget' })).rejects.toMatchObject(closed);
      await expect(leaver.backplane.ready()).rejects.toMatchObject(closed);
      expect(leaver.backplane.trouble()).toBe('closed');
      await a.backplane.send(leaver.id, { type: 'gone', sessionId: id });
      await a.backplane.send(a.id, { type: 'gone', sessionId: id });
      await a.next('gone');
      expect(leaver.inbox).toEqual([]);
    });

    it('may leave before it is ready', async () => {
      const node = new TestNode(rig.store.backplane());
      const ready = node.backplane.ready().catch((error: unknown) => error);
      await node.backplane.leave();
      const outcome = await ready;
      if (outcome !== undefined) expect(outcome).toMatchObject({ code: 'closed' });
      await expect(node.backplane.ready()).rejects.toMatchObject({ code: 'closed' });
      expect(await rig.a.backplane.alive([node.id])).toEqual(new Set());
    });
  });
}
