import { expect, it, vi } from 'vitest';
import { Liveness } from '../../src/cluster/liveness.js';
import { ManualClock } from './support/manual-clock.js';

const LEASE_MS = 9000;

function setUp(living: Set<string>) {
  const clock = new ManualClock();
  const alive = vi.fn((ids: string[]) =>
    Promise.resolve(new Set(ids.filter((id) => living.has(id)))),
  );
  return { clock, alive, liveness: new Liveness('me', { alive }, clock, LEASE_MS) };
}

it('tells nodes that hold a lease from those that do not', async () => {
  const { liveness } = setUp(new Set(['a']));
  expect(await liveness.isAlive('a')).toBe(true);
  expect(await liveness.isAlive('b')).toBe(false);
});

it('asks nobody about itself', async () => {
  const { alive, liveness } = setUp(new Set());
  expect(await liveness.isAlive('me')).toBe(true);
  expect(alive).not.toHaveBeenCalled();
});

it('asks once per node in a third of the lease, however many want to know', async () => {
  const living = new Set(['a']);
  const { clock, alive, liveness } = setUp(living);
  await Promise.all([liveness.isAlive('a'), liveness.isAlive('a'), liveness.isAlive('b')]);
  await clock.advance(LEASE_MS / 3 - 1);
  living.delete('a');
  expect(await liveness.isAlive('a')).toBe(true);
  expect(alive).toHaveBeenCalledTimes(2);
  await clock.advance(1);
  expect(await liveness.isAlive('a')).toBe(false);
  expect(alive).toHaveBeenCalledTimes(3);
});

it('does not remember that it could not find out', async () => {
  const { alive, liveness } = setUp(new Set(['a']));
  alive.mockRejectedValueOnce(new Error('away'));
  await expect(liveness.isAlive('a')).rejects.toThrow('away');
  expect(await liveness.isAlive('a')).toBe(true);
});

it('forgets nodes that nobody asks about any more', async () => {
  const { clock, liveness } = setUp(new Set());
  const known = (liveness as unknown as { known: Map<string, unknown> }).known;
  for (let count = 0; count < 100; count += 1) await liveness.isAlive(`node${count}`);
  await clock.advance(LEASE_MS);
  await liveness.isAlive('another');
  expect([...known.keys()]).toEqual(['another']);
});
