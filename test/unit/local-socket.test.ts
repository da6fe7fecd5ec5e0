import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import net from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { LocalSocket } from '../../src/intercept/http/local-socket.js';

type Pair = [net.Socket, net.Socket];

async function overTcp(): Promise<Pair> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, 'connection') as Promise<[net.Socket]>;
  const one = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  await once(one, 'connect');
  const [two] = await accepted;
  server.close();
  return [one, two];
}

const KINDS: [string, () => Pair | Promise<Pair>][] = [
  ['within the process', () => LocalSocket.pair()],
  // A TCP connection shows the right behaviour.
  ['of TCP', overTcp],
];

function allOf(end: net.Socket): Promise<Buffer> {
  const pieces: Buffer[] = [];
  end.on('data', (piece: Buffer) => pieces.push(piece));
  return new Promise((resolve) => end.once('end', () => resolve(Buffer.concat(pieces))));
}

const next = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe.each(KINDS)('a connection %s', (_, open) => {
  async function pair(): Promise<Pair> {
    const ends = await open();
    onTestFinished(() => ends.forEach((end) => end.destroy()));
    // Without a listener, an error would end the process.
    for (const end of ends) end.on('error', () => undefined);
    return ends;
  }

  it('brings what each end writes to the other, and after that the end', async () => {
    const [one, two] = await pair();
    one.write('a');
    one.write(Buffer.from('b'));
    one.end('ä', 'latin1');
    expect(await allOf(two)).toEqual(Buffer.from('ab\u00e4', 'latin1'));
    two.end('after the end of the other');
    expect((await allOf(one)).toString()).toBe('after the end of the other');
  });

  it('delivers nothing in the turn in which it is written', async () => {
    const [one, two] = await pair();
    let read = 0;
    two.on('data', () => (read += 1));
    one.write('x');
    expect(read).toBe(0);
    await Promise.resolve();
    expect(read).toBe(0);
    await expect.poll(() => read).toBe(1);
  });

  it('makes the writer wait for a slow reader', async () => {
    const [one, two] = await pair();
    let drained = false;
    let written = 0;
    for (; written < 400; written += 1) one.write(Buffer.alloc(65_536, 1));
    one.once('drain', () => (drained = true));
    for (let turn = 0; turn < 50; turn += 1) await next();
    expect(drained).toBe(false);
    const all = allOf(two);
    await expect.poll(() => drained).toBe(true);
    one.end();
    expect(await all).toHaveLength(written * 65_536);
  });

  it('is closed at the other end when one end is destroyed, after what was written', async () => {
    const [one, two] = await pair();
    await new Promise((resolve) => one.write('last words', resolve));
    one.destroy();
    expect((await allOf(two)).toString()).toBe('last words');
    two.end();
    await once(two, 'close');
  });

  it('tells a waiting writer that the other end was destroyed', async () => {
    const [one, two] = await pair();
    const heard = new Promise((resolve) => one.once('close', resolve));
    two.pause();
    const write = (): void => void one.write(Buffer.alloc(65_536), (error) => !error && write());
    write();
    for (let turn = 0; turn < 50; turn += 1) await next();
    two.destroy();
    await heard;
    expect(one.destroyed).toBe(true);
  });

  it('has a timeout', async () => {
    const [one, two] = await pair();
    two.resume();
    one.setTimeout(30);
    await once(one, 'timeout');
    one.setTimeout(0);
    expect(one.destroyed).toBe(false);
  });

  it('is a socket of Node', async () => {
    const [one] = await pair();
    expect(one).toBeInstanceOf(net.Socket);
    expect(one.remoteAddress).toBe('127.0.0.1');
    expect(one.readyState).toBe('open');
    for (let count = 0; count < 20; count += 1) one.ref().unref().setNoDelay(true);
    expect(one.listenerCount('connect')).toBe(0);
  });
});
