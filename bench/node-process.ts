import type { AddressInfo } from 'node:net';
import { serveParent } from '../demo/rig/child.js';
import type { Contestant } from './contestants.js';
import { appOf } from './contestants.js';

const app = appOf(process.env.CONTESTANT as Contestant, process.env.REDIS_URL);
const server = app.listen(0, '127.0.0.1', () => {
  serveParent({
    port: (server.address() as AddressInfo).port,
    methods: {
      /** CPU time of this process so far, in microseconds. */
      cpu: () => {
        const { user, system } = process.cpuUsage();
        return user + system;
      },
    },
  });
});
