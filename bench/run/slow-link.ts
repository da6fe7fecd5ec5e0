/**
 * The process of a TCP proxy in front of Redis that adds the time of a network. `ROUND_TRIP_MS` is shared out between both
 * directions. All data wait equally long, so their order stays, and any number of bytes can be on the way at a time.
 */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { serveParent } from '../../test/rig/child.js';

const delayMs = Number(process.env.ROUND_TRIP_MS) / 2;
const target = Number(new URL(process.env.REDIS_URL ?? '').port);

/** A timer may come this much too late. The rest of the time is spent in turns of the event loop. */
const TIMER_MS = 2;

/** The data of all connections that are on the way. The first ones are due first. `end`: the sender has sent all. */
const underWay: { to: Socket; data: Buffer | 'end'; due: number }[] = [];

function send(to: Socket, data: Buffer | 'end'): void {
  underWay.push({ to, data, due: performance.now() + delayMs });
  if (underWay.length === 1) wait();
}

function wait(): void {
  const [next] = underWay;
  if (next === undefined) return;
  const leftMs = next.due - performance.now();
  if (leftMs > TIMER_MS) setTimeout(deliver, leftMs - TIMER_MS);
  else setImmediate(deliver);
}

function deliver(): void {
  const now = performance.now();
  const waiting = underWay.findIndex(({ due }) => due > now);
  const arrived = underWay.splice(0, waiting < 0 ? underWay.length : waiting);
  for (const { to, data } of arrived) {
    if (data === 'end') to.end();
    else to.write(data);
  }
  wait();
}

const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
  const redis = connect({ port: target, host: '127.0.0.1', noDelay: true, allowHalfOpen: true });
  for (const [from, to] of [
    [client, redis],
    [redis, client],
  ] as const) {
    from.on('data', (data) => send(to, data));
    from.on('end', () => send(to, 'end'));
    from.on('error', () => to.destroy());
  }
});
server.listen(0, '127.0.0.1', () => {
  serveParent({ port: (server.address() as AddressInfo).port });
});
