import { describe, expect, it } from 'vitest';
import { STANDALONE } from '../../../src/backplane/index.js';
import {
  append,
  detach,
  okay,
  open,
  receive,
  subscribe,
  useRig,
  type OpenStore,
  changed,
} from './rig.js';

export function describeReplicas(openStore: OpenStore): void {
  describe('a replica', () => {
    const rig = useRig(openStore);
    const FORGET = { type: 'forget' } as const;

    // A replica without the client's capabilities, log level or subscriptions would behave differently.
    it('gets the record if its node has none, or one of another revision', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const first = okay(await b.commit(id, open('p1', ['1'])));
      expect(first.record).toMatchObject({ id, revision: '1', initialize: '{"capabilities":{}}' });
      const known = okay(await b.commit(id, open('p2', ['2'], { revision: '1' })));
      expect(known).not.toHaveProperty('record');
      expect(known.revision).toBe('1');

      await a.run(id, open('p3', ['3'], { revision: '1' }));
      const effect = { type: 'level', level: 'debug' } as const;
      expect(okay(await a.commit(id, append('p3', '{}', { ends: '3', effect }))).revision).toEqual(
        changed(2),
      );
      const behind = okay(await b.commit(id, open('p4', ['4'], { revision: '1' })));
      expect(behind).toMatchObject({
        revision: changed(2),
        record: { revision: changed(2), logLevel: 'debug' },
      });
      const here = receive({ to: 'here' }, 'x', { revision: '1' });
      expect(okay(await b.commit(id, here))).toMatchObject({ record: { revision: changed(2) } });
    });

    // A change that was acknowledged on one node holds on every node from the next request on.
    it('is told of every change of shape except those that its own node stored', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await b.run(id, open('p', ['1']));
      await a.run(id, subscribe('file:///x'));
      expect(await b.next('shape')).toEqual({
        type: 'shape',
        sessionId: id,
        revision: changed(2),
        message: undefined,
      });
      expect(await c.drain(a, id)).toEqual([]);
      expect(await a.drain(b, id)).toEqual([]);
    });

    // Bug: a failover may lose that a node has a replica. That node was told of nothing any more.
    it('is registered again by the next request that names its revision', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await b.run(id, open('p1', ['1']), FORGET);
      await b.run(id, open('p2', ['2'], { revision: '1' }));
      await a.run(id, receive({ to: 'replicas' }, 'roots'));
      expect(await b.drain(a, id)).toMatchObject([{ type: 'deliver', message: 'roots' }]);
    });

    it('gets a message that is for all replicas', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await b.run(id, receive({ to: 'here' }, 'x', { revision: undefined }));
      expect(await a.run(id, receive({ to: 'replicas' }, 'roots'))).toEqual([
        { status: 'received', here: true },
      ]);
      expect(await b.next('deliver')).toMatchObject({ message: 'roots' });
      expect(await c.run(id, receive({ to: 'replicas' }, 'roots'))).toEqual([
        { status: 'received', here: false },
      ]);
      expect(await a.next('deliver')).toMatchObject({ message: 'roots' });
      expect(await b.next('deliver')).toMatchObject({ message: 'roots' });
    });

    // A server may send its first notification when it gets `initialized`, so one replica gets the message and not
    // each.
    it('gets `initialized` if it is the first one, and the others are told of the change of shape only', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await b.run(id, open('p', ['1']));
      const initialized = receive({ to: 'initialized' }, 'initialized');
      expect(okay(await c.commit(id, initialized))).toMatchObject({
        revision: changed(2),
        results: [{ status: 'received', here: false }],
      });
      const shape = { type: 'shape', sessionId: id, revision: changed(2) };
      expect(await a.next('shape')).toEqual({ ...shape, message: 'initialized' });
      expect(await b.next('shape')).toEqual({ ...shape, message: undefined });
      expect(await c.backplane.load(id)).toMatchObject({ active: true, revision: changed(2) });
    });

    it('gets `initialized` where the message arrives, if there is one or no other node has one', async () => {
      const { a, b, c } = rig;
      const initialized = receive({ to: 'initialized' }, 'initialized');
      const id = await a.create();
      await b.run(id, open('p', ['1']));
      expect(okay(await b.commit(id, initialized))).toMatchObject({
        results: [{ here: true }],
        record: { active: true, revision: changed(2) },
      });
      expect(await a.next('shape')).toMatchObject({ revision: changed(2), message: undefined });
      // A second `initialized` changes nothing that a replica has to know.
      expect(okay(await b.commit(id, initialized)).revision).toEqual(changed(2));
      expect(await a.drain(b, id)).toEqual([]);

      const alone = await a.create();
      await a.run(alone, FORGET);
      const unknown = receive({ to: 'initialized' }, 'x', { revision: undefined });
      expect(okay(await c.commit(alone, unknown))).toMatchObject({
        results: [{ here: true }],
        record: { active: true },
      });
      // The node has a replica now.
      await b.run(alone, receive({ to: 'replicas' }, 'roots'));
      expect(await c.next('deliver')).toMatchObject({ message: 'roots' });
      expect(await a.drain(b, alone)).toEqual([]);
    });

    // An idle replica is discarded. Its node is told of nothing until it builds the next one.
    it('that was discarded is told of nothing', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await b.run(id, open('p', ['1']));
      await b.run(id, FORGET);
      await a.run(id, subscribe('file:///x'), receive({ to: 'replicas' }, 'roots'));
      expect(await b.drain(a, id)).toEqual([]);
      const again = okay(await b.commit(id, open('q', ['2'], { revision: undefined })));
      expect(again.record?.subscriptions).toEqual(['file:///x']);
      await a.run(id, receive({ to: 'replicas' }, 'roots'));
      expect(await b.drain(a, id)).toMatchObject([{ type: 'deliver' }]);
    });

    // A server that asks only while a client listens has to know whether a client listens on any node.
    it('is told which node follows the standalone stream', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      await c.hold(id, STANDALONE, { token: 'c1' });
      expect(await a.next('followed')).toEqual({ type: 'followed', sessionId: id, by: c.id });
      expect(okay(await b.commit(id, open('p', ['1']))).followedBy).toBe(c.id);
      await c.run(id, detach(STANDALONE, 'c1'));
      for (const node of [a, b]) expect((await node.next('followed')).by).toBeUndefined();
      expect(okay(await b.commit(id, open('q', ['2'], { revision: '9' })))).not.toHaveProperty(
        'followedBy',
      );
      expect(await c.drain(a, id)).toEqual([]);
    });
  });
}
