import { Redis } from 'ioredis';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../rig/redis.js';
import type { JoinOptions, NodeMessage } from '../../src/backplane/backplane.js';
import type { Backplane } from '../../src/index.js';
import { memoryBackplane } from '../../src/index.js';
import { announce, type Tools } from '../integration/support/scripted-server.js';
import { rawClient, startNode } from '../integration/support/serve.js';
import { hasMethod, type RawClient, type SseReader } from '../support/mcp-http.js';

const MESSAGE = 'notifications/message';
const tools: Tools = {
  announce: async ({ args, server }) => {
    await announce(server, String(args['text']));
    return 'announced';
  },
};

async function say(client: RawClient, url: string, text: string): Promise<void> {
  await client.request(url, 'tools/call', { name: 'announce', arguments: { text } });
}

function seen(stream: SseReader): unknown[] {
  return stream.messages.map(({ params }) => params?.['data']);
}

/**
 * Access to `backplane` for a node that misses messages of this kind, as one that is paused, or whose subscriber is
 * away. `missed()` resolves with the next one.
 */
function missing(backplane: Backplane, type: NodeMessage['type']) {
  let options: JoinOptions | undefined;
  let onMissed = (): void => undefined;
  const deaf: Backplane = {
    join(given) {
      options = given;
      const onMessage = (message: NodeMessage): void => {
        if (message.type === type) onMissed();
        else given.onMessage(message);
      };
      return backplane.join({ ...given, onMessage });
    },
  };
  return {
    backplane: deaf,
    onLost: (): void => options?.onLost(),
    missed: () => new Promise<void>((resolve) => (onMissed = resolve)),
  };
}

describe('two GETs at the same time, while the old holder does not answer', () => {
  // Each waited up to 250 ms for the old holder before it registered. The older one, done first with nobody
  // registered to release, then came second in `Followers.add` and ended the newer one, whose claim the store had: the
  // connection that was left got nothing any more.
  it('on one node give the stream to the newer one', async () => {
    const backplane = memoryBackplane();
    const { missed, ...deaf } = missing(backplane, 'release');
    const holder = await startNode({ tools, backplane: deaf.backplane });
    const node = await startNode({ tools, backplane });
    const client = rawClient();
    await client.initialize(holder.url);
    await client.listen(holder.url);

    const waits = missed();
    const older = client.listen(node.url);
    await waits;
    const newest = await client.listen(node.url);
    await older;
    await say(client, holder.url, 'hello');

    await newest.next(hasMethod(MESSAGE));
    expect(await (await older).untilEnded()).toBe('end');
  });

  // The newer node's `release` found no follower yet on the older one, which then opened its connection for a stream
  // that it had lost: open and silent, until the refresh found out hours later.
  it('on two nodes end the older one', async () => {
    const backplane = memoryBackplane();
    const { missed, ...deaf } = missing(backplane, 'release');
    const holder = await startNode({ tools, backplane: deaf.backplane });
    const [one, two] = [await startNode({ backplane }), await startNode({ backplane })];
    const client = rawClient();
    await client.initialize(holder.url);
    await client.listen(holder.url);

    const waits = missed();
    const older = client.listen(one.url);
    await waits;
    await client.listen(two.url);

    expect(await (await older).untilEnded()).toBe('end');
  });
});

// The old connection did not hear of the takeover. Told that wake-ups were lost, it read the log, which does not ask
// who holds the stream, and showed what the new one had shown.
it('a connection that was not told that it lost its stream shows nothing more', async () => {
  const backplane = memoryBackplane();
  const deaf = missing(backplane, 'release');
  const one = await startNode({ tools, backplane: deaf.backplane });
  const two = await startNode({ tools, backplane });
  const client = rawClient();
  await client.initialize(one.url);
  const old = await client.listen(one.url);
  const current = await client.listen(two.url);
  await say(client, two.url, 'once');
  await current.next(hasMethod(MESSAGE));

  deaf.onLost();
  await old.untilEnded();

  expect([...seen(old), ...seen(current)]).toEqual(['once']);
});

describe('a GET that was answered with 503 while Redis stalled', () => {
  async function setUp(standaloneStream: 'takeover' | 'reject') {
    const redis = await startRedis();
    onTestFinished(redis.stop);
    const given = {
      tools,
      redis: redis.url,
      commandTimeoutMs: 1_000,
      standaloneStream,
    };
    const [one, two] = [await startNode(given), await startNode(given)];
    const client = rawClient();
    await client.initialize(one.url);
    const admin = new Redis(redis.url);
    onTestFinished(() => admin.disconnect());
    /** Redis carries the claim out when it goes on, although its GET has got 503. */
    const refusedGet = async (): Promise<void> => {
      process.kill(redis.pid, 'SIGSTOP');
      try {
        (await client.get(two.url)).expect(503);
      } finally {
        process.kill(redis.pid, 'SIGCONT');
      }
      await Promise.all([one.mcp.ready(), two.mcp.ready(), admin.ping()]);
      await sleep(1_500);
    };
    return { one, two, client, refusedGet };
  }

  // The store had given the stream to a connection that there never was, and the one that was open got nothing more.
  it('does not take the stream from the GET that is open', async () => {
    const { one, client, refusedGet } = await setUp('takeover');
    const stream = await client.listen(one.url);
    await refusedGet();
    await say(client, one.url, 'hello');
    await stream.next(hasMethod(MESSAGE));
  });

  // The connection that there never was held the stream for as long as its node lived: 409 for ever.
  it("does not block later GETs with `standaloneStream: 'reject'`", async () => {
    const { one, client, refusedGet } = await setUp('reject');
    await refusedGet();
    await expect.poll(async () => (await client.get(one.url)).status).toBe(200);
  });
});
