import { describe, expect, it } from 'vitest';
import { LOG_START } from '../../../src/backplane/index.js';
import {
  append,
  BEGINNING,
  exchange,
  MALLORY,
  okay,
  open,
  subscribe,
  useRig,
  type OpenStore,
  type TestNode,
} from './rig.js';

const LOG_ID = expect.stringMatching(/^\d+-\d+$/) as string;

export function describeExchanges(openStore: OpenStore): void {
  describe('an exchange', () => {
    const rig = useRig(openStore);
    const entries = (node: TestNode, id: string) => node.backplane.history(id, LOG_START, 1000);

    it('logs the request and its answer, on a stream that has ended', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const [exchanged] = await a.run(id, exchange('p', '1'));
      expect(exchanged).toEqual({
        status: 'exchanged',
        asked: { n: 0, logId: LOG_ID },
        answered: { n: 1, logId: LOG_ID },
      });
      expect((await entries(b, id)).slice(-2)).toMatchObject([
        { direction: 'in', stream: 'p', message: '{"call":"p"}' },
        { direction: 'out', stream: 'p', message: '{"answer":"p"}' },
      ]);
      expect(await b.backplane.openStreams(id)).toEqual([]);
      expect(await b.read(id, 'p')).toMatchObject({
        open: false,
        events: [{ position: { n: 1 }, message: '{"answer":"p"}', end: true }],
      });
    });

    it('can be resumed on another node after its request', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const [exchanged] = await a.run(id, exchange('p', '1'));
      const cursor = exchanged?.status === 'exchanged' ? exchanged.asked : BEGINNING;
      const attached = await b.attach(id, 'p', { cursor });
      expect(attached).toMatchObject({ status: 'attached', position: { n: 0 } });
      const { events } = await b.read(id, 'p', cursor);
      expect(events).toMatchObject([{ message: '{"answer":"p"}', end: true }]);
    });

    it('leaves its request id free', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const results = await a.run(id, exchange('p', '1'), exchange('q', '1', { most: 1 }));
      expect(results).toMatchObject([{ status: 'exchanged' }, { status: 'exchanged' }]);
      expect(await b.run(id, open('r', ['1'], { most: 1 }))).toMatchObject([{ status: 'opened' }]);
    });

    it('keeps its trace, and counts an answer that is an error', async () => {
      const { a } = rig;
      const id = await a.create();
      const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
      await a.run(
        id,
        exchange('p', '1', { trace }),
        exchange('q', '2', { failed: true }),
        exchange('r', '3'),
      );
      const asked = (await entries(a, id)).filter(
        ({ direction, stream }) => direction === 'in' && stream !== undefined,
      );
      expect(asked.map((entry) => entry.trace).slice(-3)).toEqual([trace, undefined, undefined]);
      expect(await a.backplane.load(id)).toMatchObject({ errors: 1 });
    });

    it.each([
      ['another principal sends it', { principal: MALLORY }, 'denied'],
      ['its request id is in use', { request: '7' }, 'duplicate'],
      ['too many requests run', { most: 1 }, 'limited'],
      ['the replica that answered is not current', { revision: '0.x' }, 'stale'],
    ])('is refused and changes nothing if %s', async (_why, more, status) => {
      const { a, b } = rig;
      const id = await a.create();
      await b.run(id, open('running', ['7']));
      const before = await entries(a, id);
      const operation = exchange('p', '1', more);
      expect(await a.run(id, operation)).toMatchObject([{ status }]);
      expect(await entries(a, id)).toEqual(before);
      // A repeat says the same, although the reason may have gone.
      await b.run(id, append('running', 'answer', { ends: '7' }));
      const after = await entries(a, id);
      const [repeated] = okay(await a.repeat(id, operation)).results;
      expect(['denied', 'duplicate', 'limited', 'stale']).toContain(repeated?.status);
      expect(await entries(a, id)).toEqual(after);
      // The twin: nothing is in the way.
      expect(await a.run(id, exchange('q', '1'))).toMatchObject([{ status: 'exchanged' }]);
    });

    it('names what is in its way', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await b.run(id, open('running', ['7']));
      expect(await a.run(id, exchange('p', '7'), exchange('q', '8', { most: 1 }))).toEqual([
        { status: 'duplicate', stream: 'running', executor: b.id },
        { status: 'limited', running: [{ stream: 'running', executor: b.id }] },
      ]);
    });

    it('is refused after a change of the shape, until the replica knows it', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const changed = okay(await b.commit(id, subscribe('file:///x')));
      expect(await a.run(id, exchange('p', '2'))).toEqual([{ status: 'stale' }]);
      const { revision } = changed;
      expect(await a.run(id, exchange('q', '2', { revision }))).toMatchObject([
        { status: 'exchanged' },
      ]);
    });

    // The reply to the first run was lost.
    it('is logged once if its commit is repeated, and each refusal is repeated for its stream', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await b.run(id, open('running', ['7']));
      const operations = [exchange('p', '1'), exchange('q', '7'), exchange('r', '2')];
      expect(await a.run(id, ...operations)).toMatchObject([
        { status: 'exchanged' },
        { status: 'duplicate' },
        { status: 'exchanged' },
      ]);
      const before = await entries(a, id);
      expect(okay(await a.repeat(id, ...operations)).results).toEqual([
        { status: 'repeated' },
        { status: 'duplicate', stream: '', executor: '' },
        { status: 'repeated' },
      ]);
      expect(await entries(a, id)).toEqual(before);
    });

    it('confirms the session, and counts this node as one with a replica', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await b.run(id, exchange('p', '1'));
      await a.commit(id, subscribe('file:///x'));
      expect(await b.drain(a, id)).toMatchObject([{ type: 'shape' }]);
    });
  });
}
