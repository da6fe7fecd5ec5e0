/** The worst cases of the scripts for the outboxes of the audit trail. */
import type {
  AuditOutboxes,
  OutboxCheckpoint,
  OutboxEntry,
} from '../../src/backplane/backplane.js';
import { STANDALONE } from '../../src/backplane/backplane.js';
import type { Node, Scenario, World } from './world.js';
import { append } from './world.js';

const OUTBOX = 'all';
const ARCHIVER = 'archiver';
const ENTRIES = 1_000;
const NO_BOUND = 1e9;

function outboxesOf({ backplane }: Node): AuditOutboxes {
  if (backplane.audit === undefined) throw new Error('no outboxes');
  return backplane.audit;
}

/** Creates sessions without the audit trail, so that the outbox has only what is added later. */
function sessions({ a }: World, count: number): Promise<string[]> {
  return Promise.all(Array.from({ length: count }, () => a.create()));
}

async function say(node: Node, ids: string[], bytes: number): Promise<void> {
  for (const id of ids) await node.commit(id, append(STANDALONE, 'x'.repeat(bytes)));
}

async function read(node: Node, { mark }: OutboxCheckpoint): Promise<OutboxEntry[]> {
  const page = { archiver: ARCHIVER, mark, maxEntries: ENTRIES, maxBytes: 1024 * 1024 };
  const reply = await outboxesOf(node).readOutbox(OUTBOX, page);
  if (reply.status !== 'ok') throw new Error(reply.status);
  return reply.entries;
}

async function acknowledge(
  node: Node,
  { mark }: OutboxCheckpoint,
  entries: OutboxEntry[],
): Promise<void> {
  const chains = new Map(entries.map(({ sessionId }) => [sessionId, 'state'.repeat(40)]));
  const upTo = entries.at(-1)?.id ?? '';
  const delivered = { archiver: ARCHIVER, mark, upTo, chains, ordinal: 1 };
  const reply = await outboxesOf(node).acknowledge(OUTBOX, delivered);
  if (typeof reply === 'string') throw new Error(reply);
}

export const AUDIT_SCENARIOS: readonly Scenario[] = [
  {
    script: 'audit/read-outbox',
    situation: '5,000 entries of 1 kB wait',
    prepare: async (world) => {
      const node = await world.audited(NO_BOUND);
      for (const id of await sessions(world, 10)) {
        await say(
          node,
          Array.from({ length: ENTRIES / 2 }, () => id),
          900,
        );
      }
      const checkpoint = await outboxesOf(node).claim(OUTBOX, ARCHIVER);
      return () => read(node, checkpoint);
    },
  },
  {
    script: 'audit/read-outbox',
    situation: 'the first of the entries that wait has 4 MB',
    carriesLarge: true,
    prepare: async (world) => {
      const node = await world.audited(NO_BOUND);
      await say(node, await sessions(world, 3), 4_000_000);
      const checkpoint = await outboxesOf(node).claim(OUTBOX, ARCHIVER);
      return () => read(node, checkpoint);
    },
  },
  {
    script: 'audit/acknowledge',
    situation: '1,000 entries of as many sessions, each with a gap behind it',
    prepare: async (world) => {
      const node = await world.audited(ENTRIES);
      const ids = await sessions(world, ENTRIES);
      return async () => {
        await say(node, ids, 100);
        // This does not fit, so it is left out.
        await say(node, ids, ENTRIES);
        const checkpoint = await outboxesOf(node).claim(OUTBOX, ARCHIVER);
        await acknowledge(node, checkpoint, await read(node, checkpoint));
      };
    },
  },
  {
    script: 'audit/acknowledge',
    situation: '1,000 entries that another node has read',
    prepare: async (world) => {
      const node = await world.audited(NO_BOUND);
      const ids = await sessions(world, 100);
      return async () => {
        for (let at = 0; at < ENTRIES / 100; at += 1) await say(node, ids, 900);
        const checkpoint = await outboxesOf(node).claim(OUTBOX, ARCHIVER);
        await acknowledge(world.a, checkpoint, await read(node, checkpoint));
      };
    },
  },
  {
    script: 'audit/begin-chains',
    situation: '1,000 chains',
    prepare: async (world) => {
      const outboxes = outboxesOf(world.a);
      await outboxes.claim(OUTBOX, ARCHIVER);
      const chains = new Map(
        Array.from({ length: ENTRIES }, (_, at) => [`s${at}`, 'x'.repeat(200)]),
      );
      return () => outboxes.beginChains(OUTBOX, ARCHIVER, chains);
    },
  },
  {
    script: 'audit/end-expired',
    situation: '500 chains, all of sessions that have expired',
    prepare: async (world) => {
      const outboxes = outboxesOf(world.a);
      await outboxes.claim(OUTBOX, ARCHIVER);
      const chains = new Map(Array.from({ length: 500 }, (_, at) => [`s${at}`, 'state']));
      await outboxes.beginChains(OUTBOX, ARCHIVER, chains);
      return () => outboxes.endExpired(OUTBOX, 10_000);
    },
  },
];
