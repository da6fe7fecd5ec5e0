import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { NoteOperation } from '../../../src/backplane/index.js';
import { LOG_START, RESUMED_EVERY_MS, STANDALONE } from '../../../src/backplane/index.js';
import {
  append,
  BEGINNING,
  newSession,
  open,
  receive,
  useRig,
  type OpenStore,
  type TestNode,
} from './rig.js';

/** Returns the notes in a session's log: what has happened to the session. */
async function notesOf(node: TestNode, sessionId: string) {
  const entries = await node.backplane.history(sessionId, LOG_START, 1_000);
  return entries.flatMap(({ note, stream, message }) =>
    note === undefined ? [] : [{ ...note, stream, message }],
  );
}

export function describeNotes(openStore: OpenStore): void {
  describe('a note in the log of a session', () => {
    const rig = useRig(openStore);

    it('is logged once for its creation and once for `initialized`', async () => {
      const { a, b } = rig;
      const session = newSession();
      const positions = await a.backplane.create(session);
      const [first, second] = await a.backplane.history(session.id, LOG_START, 2);
      expect(first?.note).toEqual({ kind: 'session.created', nodeId: a.id });
      // The messages have the positions that `create` has returned, although the note comes before them.
      expect(positions && positions[0]?.logId).toBe(second?.logId);
      for (const node of [b, a]) await node.run(session.id, receive({ to: 'initialized' }));
      expect(await notesOf(a, session.id)).toEqual([
        { kind: 'session.created', nodeId: a.id },
        { kind: 'session.initialized', nodeId: b.id },
      ]);
    });

    it('is shown on no stream, and takes no number on one', async () => {
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
      // The note has no position in the stream, so the client has missed `two` only.
      expect((await b.read(id, 'p', one.position)).events).toMatchObject([{ message: 'two' }]);
    });

    // The twin of the next test: a resumed stream is logged at all, and only if the client had a cursor.
    it('is logged when a client resumes a stream with a cursor', async () => {
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

    // Without these names, an operator cannot tell which node received an answer of the client, and which node showed a
    // message.
    it('names the node of each message, and the node that showed it, unless the stream says so', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const plain = `${a.id}1`;
      await a.run(id, open(plain, ['1']));
      await a.say(id, plain, 'plain');
      await b.run(id, receive({ to: 'node', nodeId: a.id }, 'answer'));
      await a.say(id, STANDALONE, 'waits');
      await b.hold(id, STANDALONE, { token: 'get' });
      await a.say(id, STANDALONE, 'shown by b');
      await b.say(id, STANDALONE, 'shown by the same');
      await b.hold(id, plain, { cursor: BEGINNING, token: 'resumed' });
      await a.say(id, plain, 'end', { ends: '1' });
      const told = (await a.said(id)).slice(3).map(({ message, by, holder }) => ({
        ...{ message, by, holder },
      }));
      const same = undefined;
      expect(told).toEqual([
        { message: 'plain', by: same, holder: same },
        { message: 'answer', by: b.id, holder: same },
        { message: 'waits', by: a.id, holder: null },
        { message: 'shown by b', by: a.id, holder: b.id },
        { message: 'shown by the same', by: b.id, holder: same },
        { message: 'end', by: same, holder: b.id },
      ]);
    });

    // The notes about a client that resumes a thousand times would push out the messages that it resumes for.
    it('is not logged each time when a client resumes again and again', async () => {
      const { a, b } = rig;
      const id = await a.create();
      const { position } = await a.say(id, STANDALONE, 'one');
      for (let at = 0; at < 300; at += 1) {
        await b.hold(id, STANDALONE, { cursor: position, token: `c${at}` });
      }
      expect(await notesOf(a, id)).toHaveLength(2);
      // This goes by the clock of the backplane, which a test cannot set.
      await sleep(RESUMED_EVERY_MS);
      await b.hold(id, STANDALONE, { cursor: position, token: 'later' });
      expect((await notesOf(a, id)).slice(2)).toEqual([
        { kind: 'stream.resumed', nodeId: b.id, stream: STANDALONE, skipped: 299 },
      ]);
    }, 30_000);

    it('about a request is stored with its answer, and only if that is stored', async () => {
      const { a, b } = rig;
      const id = await a.create();
      await a.run(id, open('p', ['1']));
      const failed = { ...note('request.failed', '1'), from: b.id, ifAppended: true };
      // The request runs on another node, so its error is dropped and nothing has failed.
      const dropped = await b.run(id, append('p', 'error', { ends: '1' }), failed);
      expect(dropped).toEqual([{ status: 'dropped', executor: a.id }, { status: 'skipped' }]);
      // Bug: where the note was the first operation of the commit, the script failed in the middle of the step.
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
