import { tableOf } from '../report/table.js';
import { noteAll, underLoad, type LoadSample, type Scenario } from '../run/bench.js';
import type { Crowd } from '../run/load.js';
import { inTurn, type Turn } from '../run/rounds.js';
import { CONTESTANTS, TITLES } from '../server/contestants.js';
import { loadColumns, ratio } from './columns.js';

const CONCURRENCY = 16;

/**
 * Sends `initialize` and `notifications/initialized`, and waits for both answers. The sessions are deleted between the
 * turns.
 */
export const handshake: Scenario = {
  name: 'handshake',
  run: async (bench) => {
    const count = bench.quick ? 20 : 1_000;
    const turns: Turn<LoadSample>[] = [];
    for (const contestant of CONTESTANTS) {
      const node = await bench.fleet.shared({ contestant });
      const take = async (): Promise<LoadSample> => {
        let crowd: Crowd | undefined;
        const sample = await underLoad(bench, [node], async () => {
          crowd = await bench.load.open(node.url, count, CONCURRENCY);
          return crowd.opening;
        });
        await crowd?.end();
        return sample;
      };
      turns.push([contestant, take]);
    }
    const measured = await inTurn(bench, turns);
    noteAll(bench, 'handshake', measured, ['rate', 'p50', 'cpu']);
    return [
      tableOf(
        `Handshake, concurrency ${CONCURRENCY}`,
        measured,
        [
          ...loadColumns('handshakes/s'),
          ratio('rate ÷ SDK', 'rate', 'sdk'),
          ratio('CPU ÷ SDK', 'cpu', 'sdk'),
        ],
        TITLES,
      ),
    ];
  },
};
