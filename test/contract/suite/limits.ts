import { randomBytes } from 'node:crypto';
import { beforeEach, describe, expect, it } from 'vitest';
import { ANY_PRINCIPAL, LOG_START, STANDALONE } from '../../../src/backplane/index.js';
import type { OpenStore } from './rig.js';
import { ALICE, append, eventually, MALLORY, newSession, open, receive, useRig } from './rig.js';

const TOO_MANY = { name: 'TooManySessions' };

/** The limits of what one session, and one principal, may store. */
export function describeLimits(openStore: OpenStore): void {
  // Bug: a replica that caught up read 500 entries of up to 4 MB each at once.
  describe('a page of a history', () => {
    const rig = useRig(openStore);

    it('may have fewer entries where messages are large, and the next page begins there', async () => {
      const { a } = rig;
      const id = await a.create();
      const texts = Array.from({ length: 8 }, (_, at) => `${at}`.repeat(400_000));
      for (const text of texts) await a.say(id, STANDALONE, text);
      const [first] = await a.backplane.history(id, LOG_START, 1);
      expect(first?.logId).toBeDefined();
      const said = (await a.history(id)).filter(({ stream }) => stream === STANDALONE);
      expect(said.map(({ message }) => message)).toEqual(texts);
      expect(await a.backplane.history(id, said.at(-1)?.logId ?? '', 10)).toEqual([]);
    });
  });

  describe('the bytes of a log', () => {
    const rig = useRig(openStore);
    const RETENTION = { maxEvents: 10_000, maxAgeMs: 60_000, maxBytes: 200_000 };
    const MESSAGE = 'x'.repeat(9_900);

    async function bytesOf(sessionId: string): Promise<{ bytes: number; entries: number }> {
      const entries = await rig.a.history(sessionId);
      const texts = entries.map(
        ({ message }) => 100 + (message === undefined ? 0 : rig.sizeOf(message)),
      );
      return { bytes: texts.reduce((sum, size) => sum + size, 0), entries: entries.length };
    }

    it('stay below the bound over both directions, and within 20 % of it', async () => {
      const node = await rig.join({ retention: RETENTION });
      const other = await rig.join({ retention: RETENTION });
      const id = await node.create();
      let most = 0;
      let least = Infinity;
      for (let at = 0; at < 80; at += 1) {
        const by = at % 2 === 0 ? node : other;
        if (at % 3 === 0) await by.run(id, receive({ to: 'nobody' }, `${MESSAGE}${at}`));
        else await by.say(id, STANDALONE, `${MESSAGE}${at}`);
        const { bytes } = await bytesOf(id);
        most = Math.max(most, bytes);
        if (at > 30) least = Math.min(least, bytes);
      }
      expect(most).toBeLessThanOrEqual(RETENTION.maxBytes);
      expect(most).toBeGreaterThan(0.9 * RETENTION.maxBytes);
      expect(least).toBeGreaterThan(0.8 * RETENTION.maxBytes);
      const [last] = (await rig.a.history(id)).slice(-1);
      expect(last?.message).toBe(`${MESSAGE}79`);
    });

    // The twin: without the bound the log of such a session grows.
    it('grow without a bound when none is set', async () => {
      const id = await rig.a.create();
      for (let at = 0; at < 30; at += 1) await rig.a.say(id, STANDALONE, MESSAGE);
      expect((await bytesOf(id)).bytes).toBeGreaterThan(300_000);
    });

    it('refuse a cursor whose messages were trimmed', async () => {
      const node = await rig.join({ retention: RETENTION });
      const id = await node.create();
      const first = await node.say(id, STANDALONE, 'first');
      for (let at = 0; at < 30; at += 1) await node.say(id, STANDALONE, MESSAGE);
      const { position: cursor } = first;
      expect(await rig.b.attach(id, STANDALONE, { cursor })).toEqual({ status: 'trimmed' });
    });

    it('do not move a GET without a cursor, though the last message that it has shown was trimmed', async () => {
      const node = await rig.join({ retention: { ...RETENTION, maxEvents: 1 } });
      const id = await node.create();
      const { position } = await node.say(id, STANDALONE, 'trimmed');
      await node.run(id, receive({ to: 'nobody' }, 'the only one that is left'));
      expect(await node.attach(id, STANDALONE, { token: 'get' })).toMatchObject({ position });
      const next = await node.say(id, STANDALONE, 'next');
      expect(next).toMatchObject({ token: 'get', before: position.logId });
    });

    it('keep a message that is larger than the bound until the next one comes', async () => {
      const node = await rig.join({ retention: RETENTION });
      const id = await node.create();
      await node.say(id, STANDALONE, 'before');
      const { position } = await node.say(id, STANDALONE, 'y'.repeat(300_000));
      const { events } = await rig.b.read(id, STANDALONE, { n: 1, logId: LOG_START });
      expect(events.map(({ position: at }) => at)).toEqual([position]);
      await node.say(id, STANDALONE, 'after');
      expect(await rig.b.texts(id, STANDALONE).catch(() => 'trimmed')).toBe('trimmed');
      expect((await bytesOf(id)).entries).toBe(1);
    });

    it('are counted correctly when entries are trimmed by their number as well', async () => {
      const node = await rig.join({ retention: { ...RETENTION, maxEvents: 5 } });
      const id = await node.create();
      // These are more bytes than the bound in all, but never more than a quarter of it at a time.
      for (let at = 0; at < 60; at += 1) await node.say(id, STANDALONE, `${MESSAGE}${at}`);
      expect((await bytesOf(id)).entries).toBe(5);
    });
  });

  describe('the running requests of a session', () => {
    const rig = useRig(openStore);
    let id = '';
    beforeEach(async () => {
      id = await rig.a.create();
    });

    it('are counted over all nodes, and a request beyond the limit changes nothing', async () => {
      const { a, b } = rig;
      await a.run(id, open('p', ['1'], { most: 3 }));
      await b.run(id, open('q', ['2', '3'], { most: 3 }));
      const before = await a.backplane.history(id, LOG_START, 100);
      const [limited] = await b.run(id, open('r', ['4'], { most: 3 }));
      expect(limited).toEqual({
        status: 'limited',
        running: expect.arrayContaining([
          { stream: 'p', executor: a.id },
          { stream: 'q', executor: b.id },
        ]) as unknown,
      });
      expect(await a.backplane.history(id, LOG_START, 100)).toEqual(before);
      expect((await b.read(id, 'r')).open).toBe(false);
      // An id in use is reported before the limit, because waiting does not help against it.
      expect(await b.run(id, open('r', ['1'], { most: 3 }))).toMatchObject([
        { status: 'duplicate' },
      ]);
    });

    it('make room when they are answered, cancelled or abandoned', async () => {
      const { a, b } = rig;
      const most = 2;
      const isFull = async (): Promise<boolean> => {
        const [result] = await b.run(id, open('probe', ['probe'], { most }));
        if (result?.status === 'limited') return true;
        await b.run(id, { type: 'abandon', stream: 'probe', requests: ['probe'] });
        return false;
      };
      await a.run(id, open('p', ['1', '2'], { most }));
      expect(await isFull()).toBe(true);
      await a.say(id, 'p', 'answer', { ends: '1' });
      expect(await isFull()).toBe(false);
      await a.run(id, open('q', ['3'], { most }));
      expect(await isFull()).toBe(true);
      await a.run(id, append('p', undefined, { ends: '2' }));
      expect(await isFull()).toBe(false);
      await a.run(id, { type: 'abandon', stream: 'q', requests: ['3'] });
      await a.run(id, { type: 'abandon', stream: 'q', requests: ['3'] });
      await a.run(id, open('r', ['4', '5'], { most }));
      expect(await isFull()).toBe(true);
      // A request that another node has claimed still counts as one.
      await b.run(id, { type: 'claim', stream: 'r', from: a.id, revision: '1' });
      expect(await isFull()).toBe(true);
      await b.say(id, 'r', 'ended', { ends: '4' });
      expect(await isFull()).toBe(false);
    });

    it('get the same outcome when their commit is repeated', async () => {
      const { a, b } = rig;
      await a.run(id, open('p', ['1'], { most: 1 }));
      await b.run(id, open('q', ['2'], { most: 1 }));
      const again = await b.repeat(id, open('q', ['2'], { most: 1 }));
      expect(again).toMatchObject({ results: [{ status: 'limited' }] });
      await b.run(id, open('q', ['1'], { most: 1 }));
      const duplicate = await b.repeat(id, open('q', ['1'], { most: 1 }));
      expect(duplicate).toMatchObject({ results: [{ status: 'duplicate' }] });
      // A repeated request counts once.
      await b.run(id, open('q', ['2'], { most: 2 }));
      expect(await b.repeat(id, open('q', ['2'], { most: 2 }))).toMatchObject({
        results: [{ status: 'opened' }],
      });
      await a.say(id, 'p', 'answer', { ends: '1' });
      expect(await a.run(id, open('r', ['1'], { most: 2 }))).toMatchObject([{ status: 'opened' }]);
    });
  });

  describe('the sessions of a principal', () => {
    const rig = useRig(openStore);
    const most = { sessions: 3, pending: 2 };
    /** Each test has its own principal, because tests may share a store. */
    let who = '';
    beforeEach(() => {
      who = `${ALICE}-${randomBytes(4).toString('hex')}`;
    });
    const create = (node = rig.a, principal = who): Promise<string> =>
      node.create({ principal, most });
    const createUsed = async (node = rig.a): Promise<string> => {
      const id = await create(node);
      await node.run(id, receive({ to: 'initialized' }, '{}', { principal: who }));
      return id;
    };
    const refused = (kind: 'sessions' | 'pending') => ({ ...TOO_MANY, kind });

    it('are limited over all nodes, and do not count for other principals', async () => {
      const { a, b } = rig;
      for (const node of [a, b, a]) await createUsed(node);
      await expect(create(b)).rejects.toMatchObject(refused('sessions'));
      await create(b, MALLORY);
    });

    it('leave no trace of a session beyond the limit', async () => {
      const { a, b } = rig;
      for (const node of [a, b, a]) await createUsed(node);
      const session = newSession({ principal: who, most });
      await expect(a.backplane.create(session)).rejects.toMatchObject(TOO_MANY);
      expect(await b.backplane.load(session.id)).toBeUndefined();
    });

    it('have a lower limit for those that were never used, until they are used', async () => {
      const { a, b } = rig;
      const first = await create(a);
      const second = await create(b);
      await expect(create(a)).rejects.toMatchObject(refused('pending'));
      await b.run(first, receive({ to: 'initialized' }, '{}', { principal: who }));
      const third = await create(a);
      // A request without `initialized` uses a session, too.
      await expect(create(a)).rejects.toMatchObject(TOO_MANY);
      await b.run(second, open('p', ['1'], { principal: who }));
      await b.run(third, open('p', ['1'], { principal: who }));
      await expect(create(b)).rejects.toMatchObject(refused('sessions'));
    });

    it('count more for a large handshake until they are used', async () => {
      const { a, b } = rig;
      const roomy = { sessions: 10, pending: 4 };
      const begin = (bytes: number) =>
        b.create({ principal: who, most: roomy, initialize: `"${'x'.repeat(bytes)}"` });
      const large = await begin(8_200);
      await begin(10);
      await expect(begin(10)).rejects.toMatchObject(refused('pending'));
      await a.run(large, receive({ to: 'initialized' }, '{}', { principal: who }));
      for (let at = 0; at < 3; at += 1) await begin(10);
      await expect(begin(10)).rejects.toMatchObject(refused('pending'));
    });

    it('give back all room of an unused session with a large handshake when it expires', async () => {
      const short = await rig.join({ pendingTtlMs: 700, sessionTtlMs: 700 });
      const begin = () =>
        short.create({ principal: who, most, initialize: `"${'x'.repeat(60_000)}"` });
      const id = await begin();
      await expect(begin()).rejects.toMatchObject(refused('pending'));
      await short.backplane.remove(id, who);
      await begin();
      await expect(create(short)).rejects.toMatchObject(refused('pending'));
      await eventually(() => create(short));
    });

    it('make room when the client or the operator deletes one', async () => {
      const { a, b } = rig;
      const ids = [await createUsed(), await createUsed(), await createUsed()];
      await expect(create()).rejects.toMatchObject(TOO_MANY);
      expect(await b.backplane.remove(ids[0] ?? '', who)).toBe(true);
      await create(a);
      await expect(create()).rejects.toMatchObject(TOO_MANY);
      expect(await b.backplane.remove(ids[1] ?? '', ANY_PRINCIPAL)).toBe(true);
      await create(a);
    });

    it('make room when one expires', async () => {
      const short = await rig.join({ pendingTtlMs: 700, sessionTtlMs: 700 });
      for (let at = 0; at < 2; at += 1) await create(short);
      await expect(create(short)).rejects.toMatchObject(refused('pending'));
      await eventually(() => create(short));
    });

    it('do not include a session whose id was in use already', async () => {
      const { b } = rig;
      const id = await createUsed();
      for (let at = 0; at < 5; at += 1) {
        expect(await b.backplane.create(newSession({ id, principal: who, most }))).toBe(false);
      }
      await createUsed();
      await createUsed();
    });

    it('stay below the limit when many are created at once', async () => {
      const { a, b, c } = rig;
      const tries = Array.from({ length: 12 }, (_, at) => create([a, b, c][at % 3]));
      const done = await Promise.allSettled(tries);
      expect(done.filter(({ status }) => status === 'fulfilled')).toHaveLength(most.pending);
    });
  });
}
