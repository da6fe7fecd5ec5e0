import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { NoteOperation } from '../../../src/backplane/index.js';
import { LOG_START, RESUMED_EVERY_MS, STANDALONE } from '../../../src/backplane/index.js';
import { append, newSession, open, receive, useRig, type OpenStore, type TestNode } from './rig.js';

/** What has happened to a session, as the log tells it. */
async function notesOf(node: TestNode, sessionId: string) {
  const entries = await node.membership.history(sessionId, LOG_START, 1_000);
  return entries.flatMap(({ note, stream, message }) =>
    note === undefined ? [] : [{ ...note, stream, message }],
  );
}

export function describeNotes(openStore: OpenStore): void {
  describe('what happens to a session', () => {
    const rig = useRig(openStore);

    it('is logged: first of all that it was created, and then that it was initialized, once', async () => {
      const { a, b } = rig;
      const session = newSession();
      const positions = await a.membership.create(session);
      const [first, second] = await a.membership.history(session.id, LOG_START, 2);
      expect(first?.note).toEqual({ kind: 'session.created', nodeId: a.id });
      // What was said has the positions that it is told to have.
      expect(positions && positions[0]?.logId).toBe(second?.logId);
      for (const node of [b, a]) await node.run(session.id, receive({ to: 'initialized' }));
      expect(await notesOf(a, session.id)).toEqual([
        { kind: 'session.created', nodeId: a.id },
        { kind: 'session.initialized', nodeId: b.id },
      ]);
    });

    it('is shown on no stream, and takes no place on one', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']));
      const one = await a.say(id, 'p', 'one');
      await b.hold(id, 'p', { cursor: one.position, token: 'back' });
      await a.run(id, note('request.recovered', '1'));
      const two = await a.say(id, 'p', 'two', { ends: '1' });
      expect(two.position.n).toBe(2);
      expect((await notesOf(a, id)).map(({ kind }) => kind)).toEqual([
        'session.created',
        'stream.resumed',
        'request.recovered',
      ]);
      expect(await a.texts(id, 'p')).toEqual(['one', 'two']);
      // The log's entry of that is no place of the stream: the client has missed `two` only.
      expect((await b.read(id, 'p', one.position)).events).toMatchObject([{ message: 'two' }]);
    });

    // Twin of the next one: it is logged at all, and for a cursor only.
    it('is logged when a client comes back with its cursor', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const { position } = await a.say(id, STANDALONE, 'one');
      await b.hold(id, STANDALONE, { token: 'anew' });
      expect(await notesOf(a, id)).toHaveLength(1);
      await b.hold(id, STANDALONE, { cursor: position, token: 'back' });
      expect((await notesOf(a, id)).slice(1)).toEqual([
        { kind: 'stream.resumed', nodeId: b.id, stream: STANDALONE },
      ]);
    });

    // A client that comes back a thousand times would push out what it comes back for.
    it('is not logged each time of a client that comes back without end', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const { position } = await a.say(id, STANDALONE, 'one');
      for (let at = 0; at < 300; at += 1) {
        await b.hold(id, STANDALONE, { cursor: position, token: `c${at}` });
      }
      expect(await notesOf(a, id)).toHaveLength(2);
      // By the clock of the backplane, which no test can put on.
      await sleep(RESUMED_EVERY_MS);
      await b.hold(id, STANDALONE, { cursor: position, token: 'later' });
      expect((await notesOf(a, id)).slice(2)).toEqual([
        { kind: 'stream.resumed', nodeId: b.id, stream: STANDALONE, skipped: 299 },
      ]);
    }, 30_000);

    it('to a request is logged with the step that it belongs to, and only where that was taken', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']));
      const failed = { ...note('request.failed', '1'), from: b.id, ifAppended: true };
      // Another node's request: its error is dropped, so nothing has failed.
      const dropped = await b.run(id, append('p', 'error', { ends: '1' }), failed);
      expect(dropped).toEqual([{ status: 'dropped', executor: a.id }, { status: 'skipped' }]);
      // With nothing before it, the script failed in the middle of the step.
      expect(await b.run(id, failed)).toEqual([{ status: 'skipped' }]);
      const steps = [append('p', 'error', { ends: '1' }), failed];
      expect(await a.run(id, ...steps)).toMatchObject([{ status: 'appended' }, { status: 'done' }]);
      await a.repeat(id, ...steps);
      expect((await notesOf(a, id)).slice(1)).toEqual([
        { kind: 'request.failed', nodeId: a.id, stream: 'p', request: '1', from: b.id },
      ]);
    });
  });
}

function note(kind: NoteOperation['kind'], request: string): NoteOperation {
  return { type: 'note', kind, stream: 'p', request, from: undefined };
}
