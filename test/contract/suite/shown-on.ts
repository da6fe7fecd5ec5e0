import { describe, expect, it } from 'vitest';
import type { Effect } from '../../../src/backplane/index.js';
import { LOG_START, STANDALONE } from '../../../src/backplane/index.js';
import { ALICE, append, open, useRig, type OpenStore, changed } from './rig.js';

const AFTER = { onlyIf: { after: true as const } };

/**
 * HTTP+SSE needs a session before its `initialize`, and answers that are shown on another stream than the one they end.
 */
export function describeShownOn(openStore: OpenStore): void {
  describe('an operation with the condition `after`', () => {
    const rig = useRig(openStore);

    it('is carried out if the operation before it was', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await b.run(
        id,
        open('t', ['1', '2']),
        append(STANDALONE, undefined, { asks: true, ...AFTER }),
      );
      expect(await a.read(id, STANDALONE)).toMatchObject({
        events: [{ position: { n: 1 }, message: undefined, end: false, asker: b.id }],
      });
      const results = await b.run(
        id,
        append('t', undefined, { ends: '1' }),
        append(STANDALONE, 'answer 1', AFTER),
        append('t', undefined, { ends: '2' }),
        append(STANDALONE, 'answer 2', AFTER),
      );
      expect(results).toMatchObject([
        { status: 'appended', ended: false },
        { status: 'appended', ended: false },
        { status: 'appended', ended: true },
        { status: 'appended', ended: false },
      ]);
      expect(await a.read(id, 't')).toMatchObject({ open: false });
      const { events } = await a.read(id, STANDALONE);
      expect(events.map(({ message }) => message)).toEqual([undefined, 'answer 1', 'answer 2']);
    });

    // A node that was paused answers late. The request runs on another node by now, so the client would get two answers.
    it('is skipped if the operation before it was dropped or refused, or there is none', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('t', ['1']));
      await b.run(id, { type: 'claim', stream: 't', from: a.id, revision: undefined });
      const end = [append('t', undefined, { ends: '1' }), append(STANDALONE, 'late', AFTER)];
      const dropped = { status: 'dropped', executor: b.id };
      expect(await a.run(id, ...end)).toEqual([dropped, { status: 'skipped' }]);
      expect(await a.run(id, append(STANDALONE, 'alone', AFTER))).toEqual([{ status: 'skipped' }]);
      const refused = [open('u', ['1']), append(STANDALONE, 'refused', AFTER)];
      expect(await a.run(id, ...refused)).toMatchObject([
        { status: 'duplicate' },
        { status: 'skipped' },
      ]);
      expect((await a.read(id, STANDALONE)).events).toEqual([]);
    });

    it('changes nothing when it is repeated', async () => {
      const { a } = rig;
      const id = await a.create();
      await a.run(id, open('t', ['1']));
      const end = [append('t', undefined, { ends: '1' }), append(STANDALONE, 'once', AFTER)];
      await a.run(id, ...end);
      expect(await a.repeat(id, ...end)).toMatchObject({
        results: [{ status: 'repeated' }, { status: 'repeated' }],
      });
      expect((await a.read(id, STANDALONE)).events).toHaveLength(1);
    });
  });

  describe('a session that is created before its `initialize`', () => {
    const rig = useRig(openStore);
    const unborn = { initialize: '{}', protocolVersion: '', hears: [], outbound: [] };

    it('starts with no message in its log, and can be attached to and read', async () => {
      const { a, b } = rig;
      const { inbound: _, ...session } = { ...unborn, inbound: '' };
      const id = 'a-session-to-come';
      const created = { ...session, id, principal: ALICE, stream: 'born' };
      expect(await a.backplane.create(created)).toEqual([]);
      expect(await b.backplane.create({ ...created, stream: 'other' })).toBe(false);
      const log = await b.backplane.history(id, LOG_START, 10);
      expect(log.map(({ message, note }) => message ?? note?.kind)).toEqual(['session.created']);
      expect(await b.backplane.load(id)).toMatchObject({ protocolVersion: '', revision: '1' });
      const attached = await a.backplane.attach({
        ...{ sessionId: id, principal: ALICE, stream: STANDALONE, token: 't' },
        ...{ cursor: undefined, unlessHeld: false },
      });
      expect(attached).toMatchObject({ status: 'attached', position: { n: 0 } });
      await b.say(id, STANDALONE, 'hello');
      expect((await a.read(id, STANDALONE)).events).toMatchObject([{ message: 'hello' }]);
    });

    it('stores the outcome of `initialize` in the step that stores the answer', async () => {
      const { a, b } = rig;
      const id = await a.create({ ...unborn });
      await a.run(id, open('t', ['0'], { revision: undefined }));
      await b.run(id, open('u', ['1'], { revision: undefined }));
      const initialize = '{"clientInfo":{"name":"a\\nb"}}';
      const effect: Effect = {
        ...{ type: 'initialize', hears: ['tools', 'prompts'], params: initialize },
        protocolVersion: '2024-11-05',
      };
      await a.run(
        id,
        append('t', undefined, { ends: '0', effect }),
        append(STANDALONE, 'answer', AFTER),
      );
      expect(await b.backplane.load(id)).toMatchObject({
        ...{ initialize, protocolVersion: '2024-11-05', revision: changed(2) },
      });
      // The other replicas are told, and broadcasts are for this session from now on.
      await b.next('shape');
      const broadcast = append(STANDALONE, 'changed', { onlyIf: { hears: 'prompts' } });
      expect(await b.run(id, broadcast)).toMatchObject([{ status: 'appended' }]);
    });
  });

  describe('the open streams of a session', () => {
    const rig = useRig(openStore);

    it('are those of running requests, each with its holder and its executor', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      expect(await c.backplane.openStreams('unknown')).toEqual([]);
      expect(await c.backplane.openStreams(id)).toEqual([]);
      await a.run(id, open('one', ['1']), open('two', ['2'], { token: 'left' }));
      await b.run(id, open('three', ['3']));
      const position = { n: 0, logId: LOG_START };
      await a.run(id, { type: 'detach', stream: 'two', token: 'left', position });
      const streams = await c.backplane.openStreams(id);
      expect(streams.sort((x, y) => x.stream.localeCompare(y.stream))).toEqual([
        { stream: 'one', holder: a.id, runsOn: a.id },
        { stream: 'three', holder: b.id, runsOn: b.id },
        { stream: 'two', holder: undefined, runsOn: a.id },
      ]);
      await b.say(id, 'three', 'answer', { ends: '3' });
      expect(await c.backplane.openStreams(id)).toHaveLength(2);
    });
  });
}
