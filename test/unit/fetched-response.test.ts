import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it, vi } from 'vitest';
import { FetchedRequest } from '../../src/http/fetch/fetched-request.js';
import { FetchedResponse } from '../../src/http/fetch/fetched-response.js';

const KIB = 1024;
const nothing = (): void => undefined;

/** A response that has begun, and the reader of its stream. */
async function streaming() {
  const res = new FetchedResponse('GET');
  res.writeHead(200);
  res.flushHeaders();
  const body = (await res.response).body as ReadableStream<Uint8Array> | null;
  const reader = body?.getReader();
  if (reader === undefined) throw new Error('there is no stream');
  return { res, reader };
}

it('hands a small body over whole, with its status and headers', async () => {
  const res = new FetchedResponse('POST');
  res.setHeader('X-Node', 'a');
  res.writeHead(404, { 'Content-Type': 'application/json', 'Content-Length': 2 });
  expect(res.headersSent).toBe(true);
  res.end('{}');
  const response = await res.response;
  expect([response.status, await response.text()]).toEqual([404, '{}']);
  expect(Object.fromEntries(response.headers)).toEqual({
    'content-length': '2',
    'content-type': 'application/json',
    'x-node': 'a',
  });
  await vi.waitFor(() => expect(res.destroyed).toBe(true));
});

it.each([
  ['HEAD', 405],
  ['POST', 204],
  ['GET', 304],
])('leaves the body of %s with status %i out', async (method, status) => {
  for (const write of [(res: FetchedResponse) => res.end('x'), writeAndEnd]) {
    const res = new FetchedResponse(method);
    res.writeHead(status);
    write(res);
    expect([(await res.response).status, (await res.response).body]).toEqual([status, null]);
  }
});

function writeAndEnd(res: FetchedResponse): void {
  res.write('x');
  res.end();
}

it('says that the connection ends only if it does', async () => {
  for (const shouldKeepAlive of [true, false]) {
    const res = new FetchedResponse('POST');
    res.shouldKeepAlive = shouldKeepAlive;
    res.writeHead(202).end();
    expect((await res.response).headers.get('connection')).toBe(shouldKeepAlive ? null : 'close');
  }
});

it('takes no header that HTTP does not allow, and can be answered all the same', async () => {
  const res = new FetchedResponse('POST');
  expect(() => res.writeHead(200, { 'X-Text': 'a\nb' })).toThrow(TypeError);
  expect(res.headersSent).toBe(false);
  res.writeHead(500).end();
  expect((await res.response).status).toBe(500);
});

it('holds what its reader does not take, and goes on when there is room', async () => {
  const { res, reader } = await streaming();
  const chunk = 'x'.repeat(16 * KIB);
  let written = 0;
  while (!res.writableNeedDrain && written < 100) {
    res.write(chunk);
    written += 1;
    await sleep(0);
  }
  // 64 KiB are with the reader. The chunk after them waits, as does one more.
  expect(written).toBeLessThan(10);
  expect(res.writableLength).toBeGreaterThan(0);
  const drained = vi.fn();
  res.once('drain', drained);
  await sleep(20);
  expect(drained).not.toHaveBeenCalled();
  let taken = 0;
  while (taken < written * chunk.length) taken += (await reader.read()).value?.byteLength ?? 0;
  await vi.waitFor(() => expect(drained).toHaveBeenCalled());
  expect(res.writableLength).toBe(0);
  res.end('last');
  expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe('last');
  expect((await reader.read()).done).toBe(true);
});

it('keeps a text of many bytes in order, in characters of several bytes', async () => {
  const res = new FetchedResponse('POST');
  const text = 'äöü€😀'.repeat(50_000);
  res.writeHead(200).end(text);
  expect(await (await res.response).text()).toBe(text);
});

it('is closed when its reader cancels', async () => {
  const { res, reader } = await streaming();
  const closed = vi.fn();
  res.on('close', closed);
  await reader.cancel();
  await vi.waitFor(() => expect(closed).toHaveBeenCalledOnce());
  expect(res.destroyed).toBe(true);
  expect(res.write('x')).toBe(false);
});

it('gives its reader an error if it is cut, and the end if the client has gone', async () => {
  const cut = await streaming();
  cut.res.write('x');
  cut.res.destroy();
  await expect(cut.reader.read()).rejects.toThrow('the response was cut');
  const left = await streaming();
  left.res.hangUp();
  expect((await left.reader.read()).done).toBe(true);
});

it('has a status even if it ends before it began', async () => {
  const [cut, left] = [new FetchedResponse('GET'), new FetchedResponse('GET')];
  cut.destroy(new Error('broken'));
  left.hangUp();
  expect([(await cut.response).status, (await left.response).status]).toEqual([500, 499]);
});

it('emits `timeout` when its reader takes nothing while bytes wait, and only then', async () => {
  const { res, reader } = await streaming();
  const timeout = vi.fn();
  res.on('timeout', timeout);
  res.emitTimeoutWhenStalled(30);
  await sleep(100);
  expect(timeout).not.toHaveBeenCalled();
  for (let at = 0; at < 40; at += 1) res.write('x'.repeat(10 * KIB));
  // A slow reader is not a stalled one.
  for (let at = 0; at < 12; at += 1) {
    await reader.read();
    await sleep(15);
  }
  expect(timeout).not.toHaveBeenCalled();
  await vi.waitFor(() => expect(timeout).toHaveBeenCalledOnce());
});

it('a request that ends before its body leaves the body behind', async () => {
  const cancelled = vi.fn();
  let pulled = 0;
  const body = new ReadableStream({
    pull: (controller) => {
      pulled += 1;
      controller.enqueue(new Uint8Array(64 * KIB));
    },
    cancel: cancelled,
  });
  const given = { method: 'POST', body, duplex: 'half' } as RequestInit;
  const req = new FetchedRequest(new Request('http://localhost/', given), {}, nothing);
  req.once('data', () => req.pause());
  await vi.waitFor(() => expect(req.readableLength).toBeGreaterThan(0));
  const before = pulled;
  await sleep(20);
  // A body that is not read is not pulled.
  expect(pulled).toBe(before);
  expect(pulled).toBeLessThan(6);
  req.destroy();
  await vi.waitFor(() => expect(cancelled).toHaveBeenCalledOnce());
});
