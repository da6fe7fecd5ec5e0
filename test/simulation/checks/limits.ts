/** Checks the limits for one client. */
import type { Asked } from '../records.js';
import { HIGH_WATER } from '../exchange.js';
import type { World } from '../world.js';
import type { Check } from './index.js';

/** How long a node refuses further sessions to a caller that had too many. */
const REMEMBERED_MS = 1000;

/** Whether the POST is a batch that is too large for any session, which is refused with 400. */
export function isTooMany({ setting }: World, { method, messages }: Asked): boolean {
  const { batchSize = Infinity, requestsPerSession = Infinity } = setting.limits;
  return method === 'POST' && messages.length > Math.min(batchSize, requestsPerSession);
}

/** Whether a limit was reached at some time while this request was under way. Only then may it be refused with 429. */
export function isLimited(world: World, asked: Asked): boolean {
  const { ledger, setting } = world;
  const { sessionId, at, answeredAt = 0, principal, messages, method } = asked;
  const { sessionsPerPrincipal = Infinity, requestsPerSession = Infinity } = setting.limits;
  if (sessionId === undefined) {
    const own = [...ledger.bornAt].filter(([id, bornAt]) => {
      const isOwn = ledger.principals.get(id)?.endsWith(principal) === true;
      const until = ledger.removedAt.get(id) ?? Infinity;
      return isOwn && bornAt <= answeredAt && until >= at - REMEMBERED_MS;
    });
    return own.length >= sessionsPerPrincipal || ledger.losses.length > 0;
  }
  if (ledger.mayHaveLost(sessionId, 0, answeredAt)) return true;
  const open = ledger.opened.filter(
    (each) =>
      each.sessionId === sessionId && each.at <= answeredAt && (each.endedAt ?? Infinity) >= at,
  );
  const isPost = method === 'POST';
  if (isPost && open.length + messages.length > requestsPerSession) return true;
  const { streamsPerSession = Infinity } = setting.limits;
  const others = connectionsBeside(world, asked).filter(
    (other) => other.at <= answeredAt && (other.exchange?.closedAt ?? Infinity) >= at,
  );
  return others.length >= streamsPerSession;
}

/** Returns the other connections to the same node that wait for messages of the same session. */
function connectionsBeside({ ledger }: World, asked: Asked): Asked[] {
  return ledger.asked.filter(
    (other) =>
      other !== asked &&
      other.sessionId === asked.sessionId &&
      other.exchange?.process === asked.exchange?.process &&
      (other.method === 'GET' || other.messages.some((message) => 'id' in message)),
  );
}

/**
 * No caller has more sessions than allowed, and no session has more connections to a node. The ledger checks the number of
 * requests.
 */
export const limits: Check = function* (world) {
  yield* sessions(world);
  yield* connections(world);
  const { ledger, setting } = world;
  for (const { connection, place, waiting } of ledger.written) {
    if (waiting <= Math.max(setting.maxBufferedBytes, HIGH_WATER)) continue;
    yield `${connection} was written ${place.stream} ${place.n} while ${waiting} bytes waited`;
  }
};

function* sessions({ ledger, setting }: World): Iterable<string> {
  const { sessionsPerPrincipal = Infinity } = setting.limits;
  if (ledger.losses.length > 0) return;
  for (const [sessionId, at] of ledger.bornAt) {
    const principal = ledger.principals.get(sessionId);
    const own = [...ledger.bornAt].filter(
      ([id, bornAt]) =>
        ledger.principals.get(id) === principal &&
        bornAt <= at &&
        (ledger.removedAt.get(id) ?? Infinity) > at,
    );
    if (own.length > sessionsPerPrincipal) {
      yield `${principal} has ${own.length} sessions with ${sessionId}`;
    }
  }
}

function* connections(world: World): Iterable<string> {
  const { streamsPerSession = Infinity } = world.setting.limits;
  if (streamsPerSession === Infinity) return;
  for (const asked of world.ledger.asked) {
    const headAt = asked.exchange?.headAt;
    if (asked.status !== 200 || headAt === undefined || asked.sessionId === undefined) continue;
    if (asked.method === 'DELETE') continue;
    const open = connectionsBeside(world, asked).filter(
      ({ status, client, exchange }) =>
        status === 200 &&
        client === asked.client &&
        (exchange?.headAt ?? Infinity) < headAt &&
        (exchange?.closedAt ?? Infinity) > headAt,
    );
    if (open.length >= streamsPerSession) {
      yield `${asked.client}'s ${asked.what} at ${asked.at.toFixed()} was served beside ${open.length} others`;
    }
  }
}
