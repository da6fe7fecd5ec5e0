import { redisBackplane } from '../../../src/index.js';
import { redisUrl, uniquePrefix } from '../../support/redis-fixture.js';
import { cli, startCli } from './cli.js';
import { newGate } from './gate.js';
import { startNode, startSession } from './serve.js';

/** An id that no session has. */
export const NONE = '00000000-0000-0000-0000-000000000000';

/** Two nodes, a session that the first one has made, and how to ask for them. */
export async function startCliCluster(url = redisUrl()) {
  const prefix = uniquePrefix();
  const backplane = () => redisBackplane({ redis: url, prefix });
  const held = newGate();
  const tools = {
    hold: async () => {
      await held.opened;
      return 'released';
    },
  };
  const a = await startSession({ backplane: backplane(), tools });
  const b = await startNode({ backplane: backplane(), tools });
  const at = ['--redis', url, '--prefix', prefix];
  return {
    ...{ a, b, at, prefix, held },
    ask: (...args: string[]) => cli([...args, ...at]),
    begin: (...args: string[]) => startCli([...args, ...at]),
  };
}
