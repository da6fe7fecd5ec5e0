/** Nodes whose clocks are wrong, on a real Redis. */
import { Redis } from 'ioredis';
import { expect, it, onTestFinished } from 'vitest';
import { startRedis } from '../rig/redis.js';
import { createNode } from '../../src/node.js';
import { redisBackplane } from '../../src/index.js';
import { systemClock } from '../../src/protocol/timing/clock.js';
import { scriptedServer, type Tools } from '../integration/support/scripted-server.js';
import { listen, mounted, openSession } from '../integration/support/serve.js';
import { answers, hasMethod, request } from '../support/mcp-http.js';

const tools: Tools = {
  ask: async ({ server }) =>
    (
      await server.elicitInput({
        message: '?',
        requestedSchema: { type: 'object', properties: {} },
      })
    ).action,
};

/** `skewMs` may change while the node runs. */
async function startNode(redis: string, skew: { ms: number }) {
  const clock = { ...systemClock, now: () => systemClock.now() + skew.ms };
  const backplane = redisBackplane({ redis });
  const nodeId = `n${Math.random().toString(36).slice(2, 11)}`;
  const mcp = createNode({ server: () => scriptedServer(tools), backplane }, { clock, nodeId });
  const url = await listen(mounted(mcp));
  onTestFinished(() => mcp.close({ drainMs: 0 }));
  await mcp.ready();
  return { mcp, url };
}

const MINUTE = 60_000;

// Bug: a node looked for what it had missed from a moment of its own clock on, which was in the future if that was
// ahead.
it.each([
  { started: 16 * MINUTE, later: 16 * MINUTE },
  { started: -16 * MINUTE, later: -16 * MINUTE },
  { started: 0, later: 24 * 60 * MINUTE },
])(
  'a node whose clock is wrong gets an acknowledged answer: $started ms, then $later ms',
  async ({ started, later }) => {
    // A Redis of its own, because all subscriptions are cut.
    const redis = await startRedis();
    const admin = new Redis(redis.url);
    onTestFinished(async () => {
      admin.disconnect();
      await redis.stop();
    });
    const skew = { ms: started };
    const a = await startNode(redis.url, skew);
    const b = await startNode(redis.url, { ms: 0 });
    const { client } = await openSession(a.url, { capabilities: { elicitation: {} } });
    const stream = await client.listen(a.url);
    const id = client.nextId();
    const { sse } = await client.post(a.url, request(id, 'tools/call', { name: 'ask' }));
    const { message } = await stream.next(hasMethod('elicitation/create'));
    skew.ms = later;
    await admin.call('CLIENT', 'KILL', 'TYPE', 'pubsub');
    await client.respond(b.url, message?.id as string, { action: 'accept', content: {} });
    const answer = await sse.next(answers(id), 10_000);
    expect(answer.message).toMatchObject({ result: { content: [{ text: 'accept' }] } });
    expect(a.mcp.health()).toMatchObject({ status: 'ready', inFlight: 0 });
  },
  20_000,
);
