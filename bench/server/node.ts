/** One server, in a process of its own. */
import type { AddressInfo } from 'node:net';
import express from 'express';
import { serveParent } from '../../demo/rig/child.js';
import { cpuTime } from '../client/latencies.js';
import { mountAnynode } from './anynode.js';
import type { NodeSettings } from './contestants.js';
import { mountSdk } from './sdk.js';

const settings = JSON.parse(process.env.SETTINGS ?? '') as NodeSettings;
const redisUrl = process.env.REDIS_URL ?? '';

const app = express();
const mount = settings.contestant.startsWith('sdk') ? mountSdk : mountAnynode;
await mount(app, settings, redisUrl);

const server = app.listen(0, '127.0.0.1', () => {
  serveParent({
    port: (server.address() as AddressInfo).port,
    methods: { cpu: cpuTime },
  });
});
// Between two of its turns a contestant waits for longer than the 5 s after which Node ends idle connections.
server.keepAliveTimeout = 0;
