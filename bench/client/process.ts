/** The process of the load generator. `run/load.ts` tells it what to do. */
import { serveParent } from '../../test/rig/child.js';
import { Connections } from './connection.js';
import { Crowd, type CallOptions } from './crowd.js';
import { elicit, type ElicitOptions } from './elicit.js';
import { Listeners } from './listeners.js';
import { Named } from './named.js';
import { resume, type ResumeOptions } from './resume.js';

const connections = new Connections();
const crowds = new Named<Crowd>();
const listeners = new Named<Listeners>();

interface Of {
  crowd: number;
}

interface OpenOptions {
  url: string;
  count: number;
  concurrency: number;
}

serveParent({
  port: 0,
  methods: {
    open: async ({ url, count, concurrency }: OpenOptions) => {
      const crowd = new Crowd(connections);
      return { load: await crowd.open(url, count, concurrency), crowd: crowds.add(crowd) };
    },
    ids: ({ crowd }: Of) => crowds.get(crowd).sessions.map(({ id }) => id),
    call: ({ crowd, ...options }: Of & CallOptions) => crowds.get(crowd).call(options),
    elicit: ({ crowd, ...options }: Of & ElicitOptions) =>
      elicit(connections, crowds.get(crowd).sessions, options),
    resume: ({ crowd, ...options }: Of & ResumeOptions) => resume(crowds.get(crowd).first, options),
    end: async ({ crowd, url }: Of & { url: string }) => {
      await crowds.get(crowd).end(url);
      crowds.remove(crowd);
    },
    forget: ({ crowd }: Of) => crowds.remove(crowd),
    listen: async ({ crowd, urls }: Of & { urls: string[] }) => {
      const opened = new Listeners();
      await opened.open(crowds.get(crowd).sessions, urls);
      return listeners.add(opened);
    },
    heard: ({ of, count, since }: { of: number; count: number; since: number }) =>
      listeners.get(of).heard(count, since),
    cursor: ({ of }: { of: number }) => listeners.get(of).cursor,
    close: ({ of }: { of: number }) => {
      listeners.get(of).close();
      listeners.remove(of);
    },
  },
});
