/** One step causes bounded work in Redis, whatever a client has done before. Redis runs no other command meanwhile. */
import { expect, it, onTestFinished, vi } from 'vitest';
import { SCENARIOS } from '../../bench/worst-steps.js';
import { World } from '../../bench/worst-steps/world.js';
import type * as ScriptTexts from '../../src/backplane/redis/commands/script-texts.js';
import { useFileRedis } from '../support/file-redis.js';
import { workOf } from './support/counted-scripts.js';

vi.mock('../../src/backplane/redis/commands/script-texts.js', async (load) => {
  const { SCRIPT_TEXTS } = await load<typeof ScriptTexts>();
  const { counted } = await import('./support/counted-scripts.js');
  const texts = Object.entries(SCRIPT_TEXTS).map(([name, lua]) => [name, counted(lua)]);
  return { SCRIPT_TEXTS: Object.fromEntries(texts) as typeof SCRIPT_TEXTS };
});

/**
 * The bounds are about twice the work that was counted. Of the steps of clients, a claim causes most: it takes Redis some 3 ms. Work is counted
 * and not timed, because on a busy machine a step can take ten times as long as on an idle one. Before there was a bound,
 * resuming one stream read 60 MB in one step and took 270 ms. With twenty such GETs, other clients got 503.
 */
const MOST_WORK: Record<string, number> = {
  read: 7_000,
  'commit-open': 14_000,
  commit: 30_000,
  'commit-receive': 20_000,
  history: 16_000,
  touch: 6_000,
  remove: 14_000,
  'audit/read-outbox': 34_000,
  'audit/acknowledge': 57_000,
  'audit/end-expired': 5_000,
  'audit/begin-chains': 6_000,
};
const MOST_WORK_OF_OTHERS = 2_500;

const own = useFileRedis();
const bounded = SCENARIOS.filter(({ carriesLarge }) => carriesLarge !== true).map(
  ({ script, situation, prepare }) => [script, situation, prepare] as const,
);

it.each(bounded)('%s does bounded work: %s', async (script, situation, prepare) => {
  await own.admin.flushall();
  const world = new World(own.admin, own.server.url, situation.replaceAll(/\W/g, ''));
  onTestFinished(() => world.close());
  await world.ready();
  const work = await workOf(own.admin, await prepare(world));
  expect(work).toBeLessThan(MOST_WORK[script] ?? MOST_WORK_OF_OTHERS);
});
