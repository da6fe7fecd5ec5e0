/** The process of one server. */
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Express } from 'express';
import { serveParent } from '../../test/rig/child.js';
import { cpuTime, sharedNow } from '../client/latencies.js';
import { mountAnynode } from './anynode.js';
import { built } from './built.js';
import type { NodeSettings } from './contestants.js';
import { Reference } from './reference.js';
import { mountSdk } from './sdk.js';

// Add this listener before the first await. A process that has lost its parent could otherwise wait for a Redis that has
// ended with the parent.
process.on('disconnect', () => process.exit(0));
if (!process.connected) process.exit(0);

const settings = JSON.parse(process.env.SETTINGS ?? '') as NodeSettings;
const redisUrl = process.env.REDIS_URL ?? '';

const mount = settings.contestant.startsWith('sdk') ? mountSdk : mountAnynode;
const { listener, notify, announce, replicas } = await mount(settings, redisUrl);
const reference = new Reference(redisUrl);

/** How many notifications may be under way at a time, if no pace is given. */
const AT_ONCE = 64;

interface NotifyOptions {
  id: string;
  count: number;
  /** The pace. Left out: each notification is sent as soon as there is room. */
  everyMs?: number;
}

function say(id: string): Promise<void> {
  const params = { level: 'info', data: { sentAt: sharedNow() } };
  return notify(id, { method: 'notifications/message', params });
}

/** Returns how often this process has written to a socket, a pipe or a file. Only Linux counts that. */
function writesSoFar(): number | undefined {
  const file = '/proc/self/io';
  if (!existsSync(file)) return undefined;
  return Number(/^syscw: (\d+)/m.exec(readFileSync(file, 'utf8'))?.[1]);
}

const { serverOptionsFor } = await built();
const options = settings.mount === 'made' ? serverOptionsFor(listener as Express) : {};
const server = createServer(options, listener).listen(0, '127.0.0.1', () => {
  serveParent({
    port: (server.address() as AddressInfo).port,
    methods: {
      cpu: cpuTime,
      replicas,
      /** Returns the bytes in use after garbage collection. */
      memory: async () => {
        for (let time = 0; time < 3; time += 1) {
          global.gc?.();
          await sleep(10);
        }
        const { heapUsed, external } = process.memoryUsage();
        return heapUsed + external;
      },
      counters: () => ({ allocated: process.memoryUsage().heapUsed, writes: writesSoFar() }),
      /** Sends notifications, and returns when it began. */
      notify: async ({ id, count, everyMs }: NotifyOptions) => {
        const began = sharedNow();
        let left = count;
        const workers = everyMs === undefined ? AT_ONCE : 1;
        await Promise.all(
          Array.from({ length: workers }, async () => {
            while (left > 0) {
              left -= 1;
              await say(id);
              if (everyMs !== undefined) await sleep(everyMs);
            }
          }),
        );
        return began;
      },
      announce: async () => {
        const at = sharedNow();
        await announce();
        return at;
      },
      ping: (options: { forMs: number }) => reference.ping(options),
      publish: (options: { count: number; everyMs: number }) => reference.publish(options),
      subscribe: () => reference.subscribe(),
      received: () => reference.received(),
    },
  });
});
// Between two turns, a contestant waits longer than the 5 s after which Node ends idle connections.
server.keepAliveTimeout = 0;
