/**
 * A node that starts renews its lease several times at once: when it is made, connected, and subscribed. Each of them
 * found no lease yet, and every fresh node said that it had been silent for longer than its lease, twice.
 */
import { expect, it } from 'vitest';
import { Lease } from '../../src/backplane/redis/connection/lease.js';
import { ManualClock } from '../unit/support/manual-clock.js';

it('a node reports a lapse if its lease is gone, and none if it had no lease before', async () => {
  const clock = new ManualClock();
  const renewals: ((anew: boolean) => void)[] = [];
  let lapses = 0;
  const lease = new Lease({
    leaseMs: 3000,
    clock,
    renew: () => new Promise((resolve) => renewals.push(resolve)),
    onDeaf: () => undefined,
    onLapse: () => (lapses += 1),
  });
  lease.reconnected();
  lease.resubscribed();
  expect(renewals).toHaveLength(3);
  for (const answer of renewals.splice(0)) answer(true);
  await clock.advance(1500);
  expect(lapses).toBe(0);

  expect(renewals).toHaveLength(1);
  renewals[0]?.(true);
  await clock.advance(0);
  expect(lapses).toBe(1);
  lease.close();
});
