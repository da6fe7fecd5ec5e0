/** A server at a URL that sends faster than its messages are taken, and how much of them waits in a node. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it, onTestFinished } from 'vitest';
import { redisBackplane } from '../../src/index.js';
import { request, type SseReader } from '../support/mcp-http.js';
import { useFileRedis } from '../support/file-redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { event, logLine, puppet, resultOf, stream } from './support/puppet.js';
import { listen, openSession, startNode } from './support/serve.js';

const MB = 1024 * 1024;
const LINE = 'x'.repeat(50_000);
const LINES = 1200;
const CALL = { name: 'any', arguments: {} };

/** Sends messages as fast as they are taken, and counts them. */
function talker() {
  const state = { given: 0 };
  const made = puppet({
    onCall: (res, { message }) => {
      stream(res);
      const talk = (): void => {
        for (;;) {
          if (state.given === LINES) {
            res.end(event(resultOf(message?.id)));
            return;
          }
          state.given += 1;
          if (!res.write(event(logLine(`${state.given} ${LINE}`)))) break;
        }
        res.once('drain', talk);
      };
      talk();
    },
  });
  return { ...made, state };
}

const own = useFileRedis();
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** Returns the memory in use after a garbage collection. */
function memory(): number {
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

describe('60 MB of a fast server', () => {
  /** Sends them to a client that does not read. Resolves with the growth of memory when all have been taken. */
  async function held(maxBufferedBytes: number | undefined): Promise<[number, SseReader]> {
    const { app, state } = talker();
    const node = await startNode({
      ...{ server: undefined, upstream: await listen(app) },
      backplane: redisBackplane({ redis: own.server.url, prefix: uniquePrefix() }),
      ...{ retention: { maxBytes: 200 * MB }, maxBufferedBytes },
    });
    const { client } = await openSession(node.url);
    const { sse } = await client.post(node.url, request('c', 'tools/call', CALL));
    await sse.first(1);
    sse.pause();
    const before = memory();
    let most = 0;
    await expect
      .poll(
        () => {
          most = Math.max(most, memory() - before);
          return state.given;
        },
        { timeout: 20_000 },
      )
      .toBe(LINES);
    return [most, sse];
  }

  // The messages are in Redis. `retention` decides how many of a stream are kept, and not its reader.
  it('wait in Redis for a client that does not read, not in memory, and it gets all of them when it reads', async () => {
    const [most, sse] = await held(undefined);
    expect(most).toBeLessThan(15 * MB);
    sse.resume();
    await sse.first(LINES + 1, 20_000);
    const numbers = sse.messages.map(({ params }) => parseInt(String(params?.['data'])));
    expect(numbers.slice(0, -1)).toEqual(Array.from({ length: LINES }, (_, at) => at + 1));
    expect(sse.messages.at(-1)).toEqual(resultOf('c'));
  });

  // The twin: without the limit the growth is seen.
  it('wait in memory without a limit for slow readers', async () => {
    const [most] = await held(1000 * MB);
    expect(most).toBeGreaterThan(30 * MB);
  });

  it('wait at the server while Redis takes nothing, and none is lost', async () => {
    const { app, state } = talker();
    const proxy = await startTcpProxy({ target: { port: own.server.port } });
    onTestFinished(() => proxy.stop());
    const node = await startNode({
      ...{ server: undefined, upstream: await listen(app) },
      backplane: redisBackplane({
        redis: `redis://127.0.0.1:${proxy.port}`,
        prefix: uniquePrefix(),
      }),
      ...{ retention: { maxBytes: 200 * MB }, leaseMs: 60_000, commandTimeoutMs: 20_000 },
    });
    const { client } = await openSession(node.url);
    const { sse } = await client.post(node.url, request('c', 'tools/call', CALL));
    await sse.first(1);
    proxy.stall();
    let last = -1;
    while (state.given !== last) {
      last = state.given;
      await new Promise((resolve) => setTimeout(resolve, 300));
    }
    // This is the window, a chunk of the network's, and what the kernel holds at both ends of two connections.
    const taken = (state.given - sse.events.length) * LINE.length;
    expect(taken).toBeLessThan(20 * MB);
    expect(state.given).toBeLessThan(LINES);
    proxy.resume();
    await sse.first(LINES + 1, 20_000);
    const numbers = sse.messages.map(({ params }) => parseInt(String(params?.['data'])));
    expect(numbers.slice(0, -1)).toEqual(Array.from({ length: LINES }, (_, at) => at + 1));
    expect(node.logged).toEqual([]);
  });
});
