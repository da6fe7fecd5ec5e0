/** Steps of an archiver, and what they find in the outbox of the audit trail. */
import fc from 'fast-check';
import type { AuditOutboxes, OutboxEntry, OutboxLimits } from '../../../src/backplane/backplane.js';
import { ANY_PRINCIPAL } from '../../../src/backplane/backplane.js';
import type { TestNode } from '../suite/rig.js';
import { SESSIONS, type Step, type World } from './world.js';

const BOUNDS = { maxSessionBytes: 450, maxTotalBytes: 1e9 };
/** What the outbox does for each of the three nodes. The last one copies nothing. */
export const LIMITS: (OutboxLimits | undefined)[] = [
  { whenFull: 'refuse', ...BOUNDS },
  { whenFull: 'drop', ...BOUNDS },
  undefined,
];

/** The name of the only outbox. */
const OUTBOX = 'all';
const ALL = { maxEntries: 1_000, maxBytes: 1_000_000 };

function auditOf({ backplane }: TestNode): AuditOutboxes {
  if (backplane.audit === undefined) throw new Error('This backplane has no outboxes');
  return backplane.audit;
}

/**
 * Returns what entries say, without the parts in which two runs of the same steps may differ. The contract suite compares the
 * places of entries with those of the log.
 */
function said(world: World, entries: OutboxEntry[]) {
  return entries.map(({ id: _, entry, gap, ...rest }) => {
    const isBare = gap !== undefined || rest.ended !== undefined;
    const { logId: __, ...shown } = entry;
    return {
      ...rest,
      ...(gap !== undefined && { missing: gap.entries }),
      ...(!isBare && { entry: world.plain(shown, rest.sessionId) }),
    };
  });
}

function bySession(world: World, entries: OutboxEntry[]) {
  return Array.from({ length: SESSIONS }, (_, session) =>
    said(
      world,
      entries.filter(({ sessionId }) => sessionId === world.id(session)),
    ),
  );
}

async function pageOf(audit: AuditOutboxes, archiver: string, mark: string, maxEntries: number) {
  const reply = await audit.readOutbox(OUTBOX, { ...ALL, archiver, mark, maxEntries });
  if (reply.status !== 'ok') throw new Error(`The outbox cannot be read: ${reply.status}`);
  return reply.entries;
}

/** Delivers at most so many entries, and returns what the archiver saw. */
async function archive(world: World, node: TestNode, most: number) {
  const audit = auditOf(node);
  const archiver = `archiver${node.id}`;
  const { mark, ordinal } = await audit.claim(OUTBOX, archiver);
  const entries = await pageOf(audit, archiver, mark, most);
  const last = entries.at(-1);
  if (last === undefined) return { entries, waiting: await waitingOf(audit) };
  const ids = [...new Set(entries.map(({ sessionId }) => sessionId))];
  const before = await audit.chains(OUTBOX, ids);
  await audit.beginChains(OUTBOX, archiver, new Map(ids.map((id) => [id, 'begun'])));
  const begun = await audit.chains(OUTBOX, ids);
  const states = ids.map((id): [string, string | undefined] => {
    const own = entries.filter(({ sessionId }) => sessionId === id);
    return [id, own.at(-1)?.ended === undefined ? `after ${own.length}` : undefined];
  });
  const count = ordinal + entries.length;
  const delivered = { archiver, mark, upTo: last.id, chains: new Map(states), ordinal: count };
  const checkpoint = await audit.acknowledge(OUTBOX, delivered);
  const again = await audit.acknowledge(OUTBOX, delivered);
  const after = await audit.chains(OUTBOX, ids);
  return {
    ...{ entries: said(world, entries), before, begun, after, again },
    ordinal: typeof checkpoint === 'string' ? checkpoint : checkpoint.ordinal - ordinal,
    waiting: await waitingOf(audit),
  };
}

async function waitingOf(audit: AuditOutboxes) {
  const { bytes, entries } = await audit.waiting();
  return { bytes, entries };
}

/** Looks for the ends of lost sessions, then delivers everything. Backplanes may find several lost sessions in any order. */
async function sweep(world: World, node: TestNode) {
  const audit = auditOf(node);
  let from: string | undefined;
  do {
    ({ next: from } = await audit.endExpired(OUTBOX, 100, from));
  } while (from !== undefined);
  return deliverAll(world, node);
}

/** Delivers everything, and returns what each session had. */
async function deliverAll(world: World, node: TestNode) {
  const audit = auditOf(node);
  const archiver = `archiver${node.id}`;
  const all: OutboxEntry[] = [];
  for (;;) {
    const { mark, ordinal } = await audit.claim(OUTBOX, archiver);
    const entries = await pageOf(audit, archiver, mark, ALL.maxEntries);
    const last = entries.at(-1);
    if (last === undefined) break;
    all.push(...entries);
    const chains = new Map(
      entries.map(({ sessionId, ended }) => [sessionId, ended === undefined ? 'state' : undefined]),
    );
    await audit.acknowledge(OUTBOX, { archiver, mark, upTo: last.id, chains, ordinal });
  }
  const ids = Array.from({ length: SESSIONS }, (_, session) => world.id(session));
  return {
    entries: bySession(world, all),
    chains: await audit.chains(OUTBOX, ids),
    waiting: await waitingOf(audit),
  };
}

export const outboxStep: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.nat(5).map(
      (more): Step =>
        (world, node) =>
          archive(world, node, 1 + more),
    ),
  },
  fc.constant<Step>((world, node) => sweep(world, node)),
);

/** Ends all sessions of a run, and returns what the outbox had of them. Nothing of them is left for the next run. */
export async function emptyOutbox(world: World, node: TestNode) {
  for (let session = 0; session < SESSIONS; session += 1) {
    await node.backplane.remove(world.id(session), ANY_PRINCIPAL);
  }
  return sweep(world, node);
}
