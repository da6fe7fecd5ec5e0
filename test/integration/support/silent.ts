/** Addresses that never answer, each in its way. */
import { once } from 'node:events';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { onTestFinished } from 'vitest';

/** Takes connections, and never says a word. Resolves with its port. */
export async function mute(): Promise<number> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined).resume());
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

/**
 * Does not even take connections, as a host that is gone: a thread that listens and then stands still, until the kernel takes
 * no more for it and leaves what comes unanswered. Resolves with its port.
 */
export async function blackHole(): Promise<number> {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port);
       setTimeout(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0), 50);
     });`,
    { eval: true },
  );
  const [port] = (await once(worker, 'message')) as [number];
  const fillers: Socket[] = [];
  onTestFinished(async () => {
    for (const socket of fillers) socket.destroy();
    await worker.terminate();
  });
  await new Promise((resolve) => setTimeout(resolve, 150));
  for (;;) {
    const socket = connect(port, '127.0.0.1').on('error', () => undefined);
    fillers.push(socket);
    await Promise.race([
      once(socket, 'connect'),
      new Promise((resolve) => setTimeout(resolve, 200)),
    ]);
    // What came while this thread stood still is seen in the turn after the timer.
    await new Promise((resolve) => setImmediate(resolve));
    if (socket.connecting) return port;
  }
}
