import { expect, it } from 'vitest';
import { NodeWatch } from '../../src/stream/node-watch.js';
import { ManualClock } from './support/manual-clock.js';

const LEASE_MS = 3_000;

/** A watch over leases that the test removes and restores. */
function watchOver(...held: string[]) {
  const clock = new ManualClock();
  const leases = new Set(['me', ...held]);
  const looks: string[][] = [];
  const state = { steadySince: 0 as number | undefined, refuses: false };
  const joined = {
    alive: (ids: string[]) => {
      looks.push(ids);
      if (state.refuses) return Promise.reject(new Error('NOREPLICAS'));
      return Promise.resolve(new Set(ids.filter((id) => leases.has(id))));
    },
    steadySince: () => state.steadySince,
    timeOf: () => Promise.resolve(clock.now()),
  };
  const options = { nodeId: 'me', backplane: () => joined, clock, leaseMs: LEASE_MS };
  const watch = new NodeWatch(options);
  const dead = async (...ids: string[]) => [...(await watch.findDead(ids))];
  return { clock, leases, looks, state, watch, dead };
}

it('declares a node dead if its lease was missing at two looks 900 ms apart', async () => {
  const { clock, dead } = watchOver('a');
  expect(await dead('a', 'b')).toEqual([]);
  await clock.advance(899);
  expect(await dead('a', 'b')).toEqual([]);
  await clock.advance(1);
  expect(await dead('a', 'b')).toEqual(['b']);
});

it('starts again with a node whose lease is back for one look', async () => {
  const { clock, leases, dead } = watchOver();
  await dead('a');
  await clock.advance(600);
  leases.add('a');
  await dead('a');
  leases.delete('a');
  await clock.advance(600);
  expect(await dead('a')).toEqual([]);
  await clock.advance(900);
  expect(await dead('a')).toEqual(['a']);
});

// All leases had run out while Redis was away or refused writes. The first node to renew its own declared all others dead.
it('declares no node dead while this node does not hold its own lease, and starts again when it does', async () => {
  const { clock, leases, dead } = watchOver();
  await dead('a');
  leases.delete('me');
  await clock.advance(900);
  expect(await dead('a')).toEqual([]);
  leases.add('me');
  expect(await dead('a')).toEqual([]);
  await clock.advance(900);
  expect(await dead('a')).toEqual(['a']);
});

it('does not count a look from before this node held its lease without interruption', async () => {
  const { clock, state, dead } = watchOver();
  await dead('a');
  await clock.advance(900);
  state.steadySince = clock.elapsed() + 1_000;
  expect(await dead('a')).toEqual([]);
  await clock.advance(900);
  expect(await dead('a')).toEqual([]);
  await clock.advance(900);
  expect(await dead('a')).toEqual([]); // the first look that counts
  await clock.advance(900);
  expect(await dead('a')).toEqual(['a']);
  state.steadySince = undefined;
  expect(await dead('a')).toEqual([]);
});

// The second look alone was checked. A first look from before an interruption, with no look in between, counted.
it('does not count a first look from before this node lost its lease for a while', async () => {
  const { clock, state, dead } = watchOver();
  await dead('a');
  await clock.advance(10_000);
  state.steadySince = clock.elapsed() - 1;
  expect(await dead('a')).toEqual([]);
  await clock.advance(900);
  expect(await dead('a')).toEqual(['a']);
});

it('declares no node dead while the backplane refuses, and starts again afterwards', async () => {
  const { clock, state, dead, watch } = watchOver();
  await dead('a');
  await clock.advance(900);
  state.refuses = true;
  expect(await dead('a')).toEqual([]);
  expect(await watch.isDead('a')).toBe(false);
  expect(await watch.isAlive('a')).toBe(true);
  expect(await watch.momentSeenDead('s', 'a')).toBeUndefined();
  state.refuses = false;
  expect(await dead('a')).toEqual([]);
});

it('looks a second time on its own if it is asked about one node', async () => {
  const { clock, leases, watch } = watchOver();
  const dead = watch.isDead('a');
  const back = watch.isDead('b');
  await clock.advance(500);
  leases.add('b');
  await clock.advance(500);
  expect(await dead).toBe(true);
  expect(await back).toBe(false);
});

it('never looks at its own node', async () => {
  const { looks, watch } = watchOver();
  expect(await watch.isAlive('me')).toBe(true);
  expect([...(await watch.findDead(['me']))]).toEqual([]);
  expect(looks).toEqual([]);
});

it('answers isAlive for a third of a lease from one look', async () => {
  const { clock, looks, watch } = watchOver('a');
  await Promise.all([watch.isAlive('a'), watch.isAlive('a')]);
  await clock.advance(LEASE_MS / 3 - 1);
  await watch.isAlive('a');
  expect(await watch.seemsAlive('a')).toBe(true);
  expect(looks).toHaveLength(1);
  await clock.advance(1);
  await watch.isAlive('a');
  expect(looks).toHaveLength(2);
});

it('returns the moment of death by the clock of the session, and only while the node is dead', async () => {
  const { clock, leases, watch } = watchOver();
  expect(await watch.momentSeenDead('s', 'a')).toBeUndefined();
  await clock.advance(900);
  expect(await watch.momentSeenDead('s', 'a')).toBe(clock.now());
  leases.add('a');
  expect(await watch.momentSeenDead('s', 'a')).toBeUndefined();
});

it('leaves no timer behind when it is closed', async () => {
  const { clock, watch } = watchOver();
  const dead = watch.isDead('a');
  await clock.advance(10);
  watch.close();
  expect(clock.pending).toBe(0);
  expect(await dead).toBe(false);
  expect(await watch.isDead('a')).toBe(false);
  expect(clock.pending).toBe(0);
});
