/**
 * A short run of what `npm run chaos` does for as long as one likes: nodes are killed, paused and restarted and Redis is
 * cut off, all at once, while clients call, listen and come back. No times are looked at, only what must never happen.
 */
import { describe, expect, it } from 'vitest';
import { runChaos, type ChaosOptions } from '../chaos/chaos.js';
import { runRolling } from '../chaos/rolling.js';
import type { Violations } from '../chaos/verdict.js';

const NONE: Violations = {
  unanswered: [],
  lost: [],
  duplicated: [],
  disordered: [],
  executedTwice: [],
  executedWrongly: [],
  ofFormerOwners: [],
  strange: [],
};

const SHORT = {
  nodes: 3,
  clients: 8,
  leaseMs: 1500,
  retryMs: 50,
  drainMs: 3000,
  rate: 5,
  thinkMs: 400,
  restless: true,
  settleMs: 30_000,
};

describe('a cluster in trouble', { timeout: 90_000 }, () => {
  it('loses nothing, shows nothing twice, runs nothing twice, and ends every call', async () => {
    const { verdict, faults } = await runChaos({
      ...SHORT,
      forMs: 9000,
      killEveryMs: 3000,
      pauseEveryMs: 3500,
      restartEveryMs: 4500,
      cutEveryMs: 1100,
    });
    expect(verdict.violations).toEqual(NONE);
    expect(faults.get('node killed')).toBeGreaterThan(1);
    expect(verdict.ends.get('result')).toBeGreaterThan(0);
    expect(verdict.notifications.accepted).toBeGreaterThan(0);
  });

  it('answers every call while its nodes are replaced one after the other', async () => {
    const { verdict, failed, restarts } = await runRolling({
      ...SHORT,
      restless: false,
      slowMs: 80,
      drainMs: 20_000,
      rounds: 1,
      betweenMs: 300,
    });
    expect(verdict.violations).toEqual(NONE);
    expect(restarts).toBe(3);
    expect(verdict.calls).toBeGreaterThan(0);
    expect([...verdict.ends.keys()]).toEqual(['result']);
    expect(failed).toBe(0);
  });
});

// The twins: the faults are real, and the ledger finds them.
describe('without a guard, the ledger finds', { timeout: 60_000 }, () => {
  const lostReplies: ChaosOptions = {
    ...SHORT,
    nodes: 1,
    clients: 4,
    rate: 10,
    tools: ['announce'],
    restless: false,
    forMs: 1500,
    cutEveryMs: 200,
    cuts: ['replies lost'],
    settleMs: 10_000,
  };
  it('one append for a message that was stored and not acknowledged', async () => {
    const outcome = await runChaos(lostReplies);
    expect(outcome.verdict.violations).toEqual(NONE);
    expect(outcome.lostReplies).toBeGreaterThan(0);
  });
  it('messages that are shown twice if commits have no numbers', async () => {
    const { verdict } = await runChaos({ ...lostReplies, sabotage: 'repeats', settleMs: 2000 });
    expect(verdict.violations.duplicated).not.toEqual([]);
  });

  const killed: ChaosOptions = {
    ...SHORT,
    nodes: 1,
    clients: 4,
    leaseMs: 1000,
    thinkMs: 40,
    tools: ['slow'],
    slowMs: 400,
    restless: false,
    forMs: 2000,
    killEveryMs: 1500,
    settleMs: 4000,
  };
  it('a call that waits for ever if nothing looks after a killed node', async () => {
    const { verdict } = await runChaos({ ...killed, sabotage: 'orphans' });
    expect(verdict.violations.unanswered).not.toEqual([]);
  });
  it('lost calls on the plain SDK with one process, for every client', async () => {
    const { verdict } = await runChaos({ ...killed, rate: 0, bare: true });
    expect(verdict.violations.unanswered).not.toEqual([]);
  });
});
