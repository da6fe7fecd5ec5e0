import { describe, expect, it } from 'vitest';
import type { ListKind } from '../../../src/backplane/index.js';
import { coalescedByUri, STANDALONE } from '../../../src/backplane/index.js';
import { append, BEGINNING, detach, open, subscribe, useRig, type OpenStore } from './rig.js';

export function describeNotify(openStore: OpenStore): void {
  describe('a broadcast', () => {
    const rig = useRig(openStore);

    it('is stored for sessions whose server announces that list', async () => {
      const { a, b } = rig;
      const id = await a.create({ hears: ['tools', 'resources'] });
      const about = (hears: ListKind) => append(STANDALONE, hears, { onlyIf: { hears } });
      expect(await b.run(id, about('tools'), about('prompts'), about('resources'))).toMatchObject([
        { status: 'appended' },
        { status: 'skipped' },
        { status: 'appended' },
      ]);
      expect(await b.texts(id, STANDALONE)).toEqual(['tools', 'resources']);
      const deaf = await a.create({ hears: [] });
      expect(await b.run(deaf, about('tools'))).toEqual([{ status: 'skipped' }]);
    });

    it('about a resource is stored for sessions that have subscribed to it', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const uri = 'file:///x%20y';
      const updated = append(STANDALONE, 'updated', { onlyIf: { subscribed: uri } });
      expect(await b.run(id, updated)).toEqual([{ status: 'skipped' }]);
      await a.run(id, subscribe(uri));
      expect(await b.run(id, updated)).toMatchObject([{ status: 'appended' }]);
      const other = append(STANDALONE, 'updated', { onlyIf: { subscribed: 'file:///x' } });
      expect(await b.run(id, other)).toEqual([{ status: 'skipped' }]);
      const effect = { type: 'unsubscribe', uri } as const;
      await a.run(id, append(STANDALONE, '{}', { effect }));
      expect(await b.run(id, updated)).toEqual([{ status: 'skipped' }]);
    });

    // A client may be away for an hour while a list changes each second. One "changed" tells it all that it needs.
    it('is stored once while no client is connected', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const tools = append(STANDALONE, 'tools', { coalesce: 'tools' });
      const prompts = append(STANDALONE, 'prompts', { coalesce: 'prompts' });
      await a.run(id, tools, prompts);
      expect(await b.run(id, tools, prompts, append(STANDALONE, 'tools'))).toMatchObject([
        { status: 'skipped' },
        { status: 'skipped' },
        { status: 'appended' },
      ]);
    });

    // If a new broadcast were coalesced with one that was already shown, the client would never hear of the change.
    it('is stored again after the last one was shown', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const tools = append(STANDALONE, 'tools', { coalesce: 'tools' });
      const { position: first } = await a.say(id, STANDALONE, 'other');
      const [said] = await a.run(id, tools);
      await b.hold(id, STANDALONE, { token: 't' });
      // While a connection is open, each one is stored and shown.
      expect(await a.run(id, tools)).toMatchObject([{ status: 'appended' }]);
      const { position } = await a.say(id, STANDALONE, 'more');
      await b.run(id, detach(STANDALONE, 't', first));
      expect(said).toMatchObject({ status: 'appended' });
      expect(await a.run(id, tools)).toEqual([{ status: 'skipped' }]); // the earlier one was not shown yet
      await b.hold(id, STANDALONE, { token: 't' });
      await b.run(id, detach(STANDALONE, 't', position));
      expect(await a.run(id, tools)).toMatchObject([{ status: 'appended' }]);
      expect(await a.run(id, tools)).toEqual([{ status: 'skipped' }]);
    });

    // A connection that was taken over reports no more what it has shown. If its successor went on after an older cursor and
    // closed, the broadcast counted as not shown yet: the next one was skipped, and the client never heard of that change.
    it('is sent again if a connection that was taken over may have shown the last one', async () => {
      const { a, b, c } = rig;
      const id = await a.create();
      const tools = append(STANDALONE, 'tools', { coalesce: 'tools' });
      await b.hold(id, STANDALONE, { token: 'b1' });
      await a.run(id, tools);
      await c.hold(id, STANDALONE, { token: 'c1', cursor: BEGINNING });
      await c.run(id, detach(STANDALONE, 'c1'));
      expect(await a.run(id, tools)).toMatchObject([{ status: 'appended' }]);
      expect(await a.run(id, tools)).toMatchObject([{ status: 'skipped' }]);
    });

    // The broadcast that waited was trimmed, so the next one must not be coalesced with it.
    it('is stored again after the one that waited was trimmed', async () => {
      const a = await rig.join({ retention: { maxEvents: 3, maxAgeMs: 60_000 } });
      const id = await a.create();
      const tools = append(STANDALONE, 'tools', { coalesce: 'tools' });
      await a.run(id, tools);
      await a.run(id, append(STANDALONE, '1'), append(STANDALONE, '2'));
      expect(await a.run(id, tools)).toEqual([{ status: 'skipped' }]);
      await a.say(id, STANDALONE, '3');
      expect(await a.run(id, tools)).toMatchObject([{ status: 'appended' }]);
    });

    // Bug: the entries that coalesce stayed for ever. 300 URIs that were subscribed to once took 2.5 MB of a session.
    it('about a resource is stored again for a session that has unsubscribed and subscribed since', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const uri = 'file:///x';
      const unsubscribe = append(STANDALONE, '{}', { effect: { type: 'unsubscribe', uri } });
      const updated = append(STANDALONE, 'updated', {
        onlyIf: { subscribed: uri },
        coalesce: coalescedByUri(uri),
      });
      await a.run(id, subscribe(uri));
      expect(await b.run(id, updated, updated)).toMatchObject([
        { status: 'appended' },
        { status: 'skipped' },
      ]);
      await a.run(id, unsubscribe, subscribe(uri));
      expect(await b.run(id, updated)).toMatchObject([{ status: 'appended' }]);
    });

    it('of one session is not coalesced with that of another session', async () => {
      const { a } = rig;
      const [one, two] = await Promise.all([a.create(), a.create()]);
      const tools = append(STANDALONE, 'tools', { coalesce: 'tools' });
      await a.run(one, open('p', ['1']), tools);
      expect(await a.run(two, tools)).toMatchObject([{ status: 'appended' }]);
    });
  });
}
