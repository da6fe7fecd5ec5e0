/** The load generator, in a process of its own. What it does for whom is in `run/load.ts`. */
import { serveParent } from '../../demo/rig/child.js';
import { Connections } from './connection.js';
import { Crowd, type CallOptions } from './crowd.js';

const connections = new Connections();
const crowds = new Map<number, Crowd>();
let names = 0;

function crowdOf(crowd: number): Crowd {
  const found = crowds.get(crowd);
  if (found === undefined) throw new Error(`There is no crowd ${crowd}`);
  return found;
}

serveParent({
  port: 0,
  methods: {
    open: async ({
      url,
      count,
      concurrency,
    }: {
      url: string;
      count: number;
      concurrency: number;
    }) => {
      const crowd = new Crowd(connections);
      crowds.set((names += 1), crowd);
      return { crowd: names, load: await crowd.open(url, count, concurrency) };
    },
    call: ({ crowd, ...options }: { crowd: number } & CallOptions) => crowdOf(crowd).call(options),
    end: async ({ crowd, url }: { crowd: number; url: string }) => {
      await crowdOf(crowd).end(url);
      crowds.delete(crowd);
    },
  },
});
