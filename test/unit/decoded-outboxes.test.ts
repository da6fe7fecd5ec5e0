/** What an archiver with the codec makes of an outbox in which something that is no node has changed entries. */
import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import type { AuditOutboxes, OutboxEntry } from '../../src/backplane/backplane.js';
import { STANDALONE } from '../../src/backplane/backplane.js';
import { decodedOutboxes } from '../../src/backplane/encoded/decoded-outboxes.js';
import { encodedBackplane } from '../../src/backplane/encoded/encoded-backplane.js';
import { Payloads } from '../../src/backplane/encoded/payloads.js';
import { memoryBackplane } from '../../src/backplane/memory/memory-backplane.js';
import { aesGcmCodec } from '../../src/codec/index.js';
import { systemClock } from '../../src/protocol/timing/clock.js';
import { ALICE, MALLORY, newSession, TestNode } from '../contract/suite/rig.js';

const OUTBOX = 'all';
const audit = { whenFull: 'refuse' as const, maxSessionBytes: 1e6, maxTotalBytes: 1e6 };

/** Two sessions on a node with the codec, and an archiver that reads what `change` makes of their entries. */
async function outboxWith(change: (entries: OutboxEntry[]) => OutboxEntry[]) {
  const codec = aesGcmCodec({ keys: { k1: randomBytes(32) }, current: 'k1' });
  const store = memoryBackplane();
  const node = new TestNode(encodedBackplane(store, codec), { audit });
  const [alice, mallory] = [newSession(), newSession({ principal: MALLORY })];
  for (const session of [alice, mallory]) {
    await node.backplane.create(session);
    await node.say(session.id, STANDALONE, `to ${session.principal}`);
  }
  const warnings: string[] = [];
  const raw = new TestNode(store).backplane.audit;
  if (raw === undefined) throw new Error('The memory backplane has no outbox');
  const inner: AuditOutboxes = {
    ...raw,
    async readOutbox(outbox, page) {
      const reply = await raw.readOutbox(outbox, page);
      return reply.status === 'ok' ? { ...reply, entries: change(reply.entries) } : reply;
    },
  };
  const logger = { warn: (text: string) => void warnings.push(text) };
  const outboxes = decodedOutboxes(inner, new Payloads(codec, { clock: systemClock, logger }));
  const archiver = 'archiver';
  const { mark } = await outboxes.claim(OUTBOX, archiver);
  const page = { archiver, mark, maxEntries: 100, maxBytes: 1e6 };
  const read = async () => {
    const reply = await outboxes.readOutbox(OUTBOX, page);
    return reply.status === 'ok' ? reply.entries : [];
  };
  return { raw, outboxes, archiver, read, warnings, alice: alice.id, mallory: mallory.id };
}

it('decodes entries as often as they are read', async () => {
  const { read, alice, warnings } = await outboxWith((entries) => entries);
  const entries = await read();
  expect(await read()).toEqual(entries);
  const own = entries.filter(({ sessionId }) => sessionId === alice);
  expect(own[0]).toMatchObject({
    created: { principal: ALICE },
    initialize: '{"capabilities":{}}',
  });
  expect(own.at(-1)?.entry.message).toBe('to alice');
  expect(own.some(({ stored }) => stored !== undefined)).toBe(false);
  expect(warnings).toEqual([]);
});

it('leaves out a principal whose seal is of another session, or of no node', async () => {
  const { read, alice, warnings } = await outboxWith((entries) => {
    const seals = entries.flatMap(({ created }) => created?.seal ?? []);
    let at = 0;
    return entries.map((entry) =>
      entry.created === undefined
        ? entry
        : { ...entry, created: { principal: 'root', seal: seals[(at += 1)] ?? 'made up' } },
    );
  });
  const created = (await read()).filter((entry) => entry.created !== undefined);
  expect(created.map((entry) => entry.created)).toEqual([{}, {}]);
  expect(created[0]?.sessionId).toBe(alice);
  expect(warnings).not.toEqual([]);
});

it('keeps the stored text of a message that was changed, repeated, or taken from another session', async () => {
  const isSaid = ({ entry }: OutboxEntry) => entry.stream === STANDALONE;
  const { read } = await outboxWith((entries) => {
    const [first, second] = entries.filter(isSaid);
    if (first === undefined || second === undefined) throw new Error('Nothing was said');
    const { message } = first.entry;
    const changed = { ...first, entry: { ...first.entry, message: `${message}A` } };
    const moved = { ...second, entry: { ...second.entry, message } };
    const logId = `${first.entry.at + 1_000}-0`;
    const repeated = { ...first, id: '99-0', entry: { ...first.entry, logId } };
    return [first, repeated, changed, moved];
  });
  const [first, ...others] = await read();
  expect(first?.entry.message).toBe('to alice');
  expect(others).toHaveLength(3);
  for (const { entry, stored } of others) {
    expect(entry).toMatchObject({ message: undefined, unreadable: true });
    expect(stored).toMatch(/^aes1\./);
  }
});

it('returns an empty text for params of `initialize` that cannot be decoded', async () => {
  const { read } = await outboxWith((entries) =>
    entries.map((entry) =>
      entry.initialize === undefined ? entry : { ...entry, initialize: 'made up' },
    ),
  );
  const given = (await read()).flatMap(({ initialize }) => initialize ?? []);
  expect(given).toEqual(['', '']);
});

it('encodes the states of chains, and takes none from another session', async () => {
  const { raw, outboxes, archiver, alice, mallory } = await outboxWith((entries) => entries);
  await outboxes.beginChains(OUTBOX, archiver, new Map([[alice, 'secret']]));
  const [stored = ''] = await raw.chains(OUTBOX, [alice]);
  expect(stored).not.toContain('secret');
  await raw.beginChains(OUTBOX, archiver, new Map([[mallory, stored]]));
  expect(await outboxes.chains(OUTBOX, [alice, mallory, 'none'])).toEqual([
    'secret',
    '',
    undefined,
  ]);
});
