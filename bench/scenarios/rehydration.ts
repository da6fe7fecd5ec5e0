import { tableOf } from '../report/table.js';
import { noteAll, underLoad, type LoadSample, type Scenario } from '../run/bench.js';
import type { Crowd } from '../run/load.js';
import { inTurn } from '../run/rounds.js';
import { loadColumns, ratio } from './columns.js';

const TITLES = {
  handshake: 'a handshake with the SDK, for comparison',
  first: 'first call on another node',
  next: 'the next call there',
};

const CONCURRENCY = 4;

/** Measures the first call of a session on a node that does not know it yet. The node builds and sets up a server object. */
export const rehydration: Scenario = {
  name: 'rehydration',
  run: async (bench) => {
    const count = bench.quick ? 10 : 200;
    const sdk = await bench.fleet.shared({ contestant: 'sdk' });
    const a = await bench.fleet.shared({ contestant: 'redis' });
    const b = await bench.fleet.shared({ contestant: 'redis' }, 1);
    let crowd: Crowd | undefined;
    const call = async (): Promise<LoadSample> => {
      crowd ??= await bench.load.open(a.url, count);
      const { call } = crowd;
      return underLoad(bench, [b], () => call({ urls: [b.url], concurrency: CONCURRENCY }));
    };
    const measured = await inTurn(bench, [
      [
        'handshake',
        async () => {
          let opened: Crowd | undefined;
          const sample = await underLoad(bench, [sdk], async () => {
            opened = await bench.load.open(sdk.url, count, CONCURRENCY);
            return opened.opening;
          });
          await opened?.end();
          return sample;
        },
      ],
      ['first', call],
      [
        'next',
        async () => {
          const sample = await call();
          await crowd?.end();
          crowd = undefined;
          return sample;
        },
      ],
    ]);
    noteAll(bench, 'rehydration', measured, ['p50', 'cpu']);
    return [
      tableOf(
        `Rehydration: anynode on Redis, concurrency ${CONCURRENCY}`,
        measured,
        [
          ...loadColumns('per second'),
          ratio('p50 ÷ next', 'p50', 'next'),
          ratio('CPU ÷ next', 'cpu', 'next'),
        ],
        TITLES,
      ),
    ];
  },
};
