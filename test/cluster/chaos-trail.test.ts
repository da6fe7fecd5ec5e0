/**
 * A short run of `npm run chaos -- --trail postgres`: nodes, Redis and PostgreSQL are killed while clients call and listen. Then
 * the audit trail has everything that was acknowledged, once.
 */
import { expect, it } from 'vitest';
import { runChaos, type ChaosOptions } from '../chaos/chaos.js';
import type { TrailViolations } from '../chaos/trail-verdict.js';

const NONE: TrailViolations = { missing: [], twice: [], unverified: [] };

const SHORT: ChaosOptions = {
  trail: 'postgres',
  nodes: 3,
  clients: 8,
  leaseMs: 1500,
  retryMs: 50,
  drainMs: 3000,
  rate: 5,
  thinkMs: 400,
  restless: true,
  settleMs: 40_000,
  forMs: 9000,
  killEveryMs: 3000,
  restartEveryMs: 4500,
  outageEveryMs: 2500,
};

it('the audit trail has everything that was acknowledged, once, whoever is killed', async () => {
  const { trail, verdict, faults } = await runChaos(SHORT);
  expect(trail?.violations).toEqual(NONE);
  expect(trail?.records).toBeGreaterThan(100);
  expect(verdict.ends.get('result')).toBeGreaterThan(0);
  for (const name of ['node killed', 'Redis killed', 'PostgreSQL killed'] as const) {
    expect(faults.get(name), name).toBeGreaterThan(0);
  }
}, 120_000);

// The twin: the faults are real, and the comparison finds what is missing.
it('records are missing if the archiver does not try again when PostgreSQL has failed', async () => {
  const { trail } = await runChaos({ ...SHORT, forMs: 6000, sabotage: 'archiver' });
  expect(trail?.violations.missing).not.toEqual([]);
}, 120_000);
