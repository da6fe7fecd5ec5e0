import { describe, expect, it } from 'vitest';
import { STANDALONE } from '../../src/backplane/backplane.js';
import { memoryBackplane, redisBackplane, type Backplane } from '../../src/index.js';
import { BEGINNING, open, TestNode } from '../contract/suite/rig.js';
import { openSession, startNode, STORES as SHARED } from '../integration/support/serve.js';
import { hasMethod } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';

const STORES: [string, () => Backplane][] = [
  ['memory', () => memoryBackplane()],
  ['Redis', () => redisBackplane({ redis: redisUrl(), prefix: uniquePrefix() })],
];

describe.each(STORES)('a claim that is undone, over %s', (_, openBackplane) => {
  // The usual order in an outage: the client's connection breaks, it comes back on another node, is refused with 503,
  // and its claim is carried out all the same. The end of the first connection then found somebody else's claim and
  // left it; the undoing of that claim gave the stream back to the first connection, which was gone: with
  // `standaloneStream: 'reject'` every later GET got 409, for as long as the first node lived.
  it('does not give the stream back to a connection that has closed meanwhile', async () => {
    const backplane = openBackplane();
    const [one, two, three] = [0, 1, 2].map(() => new TestNode(backplane));
    if (one === undefined || two === undefined || three === undefined) throw new Error('no nodes');
    const nodes = [one, two, three];
    await Promise.all(nodes.map(({ backplane }) => backplane.ready()));
    const id = await one.create();
    const end = { type: 'detach' as const, stream: STANDALONE, position: BEGINNING };

    await one.hold(id, STANDALONE, { token: 'ended' });
    await two.hold(id, STANDALONE, { token: 'never' });
    await one.run(id, { ...end, token: 'ended' });
    await two.run(id, { ...end, token: 'never', neverUsed: true });

    await expect(three.hold(id, STANDALONE, { unlessHeld: true })).resolves.toMatchObject({
      status: 'attached',
    });
    await Promise.all(nodes.map(({ backplane }) => backplane.leave()));
  });

  // What was stored while such a claim stood was announced to nobody: the connection that has the stream again went on
  // as if it were not there, until something else came.
  it('tells the connection that gets the stream back to read the log', async () => {
    const backplane = openBackplane();
    const [one, two] = [0, 1].map(() => new TestNode(backplane));
    if (one === undefined || two === undefined) throw new Error('no nodes');
    await Promise.all([one, two].map(({ backplane }) => backplane.ready()));
    const id = await one.create();
    await one.hold(id, STANDALONE, { token: 'first' });
    await two.hold(id, STANDALONE, { token: 'never' });
    const { position } = await two.say(id, STANDALONE, 'meanwhile');
    const end = { type: 'detach' as const, stream: STANDALONE, position: BEGINNING };
    await two.run(id, { ...end, token: 'never', neverUsed: true });

    await expect(one.next('event')).resolves.toMatchObject({
      ...{ sessionId: id, stream: STANDALONE, token: 'first', inline: false },
      event: { position, message: undefined, end: false },
    });

    // A stream that ends while the claim stands is not there any more to be given back.
    await one.run(id, open('x1', ['1'], { token: 'real' }));
    await two.hold(id, 'x1', { token: 'ghost', cursor: BEGINNING });
    const ended = await one.say(id, 'x1', 'answer', { ends: '1' });
    await expect(one.next('event')).resolves.toMatchObject({
      ...{ sessionId: id, stream: 'x1', token: 'real', inline: false },
      event: { position: ended.position, end: true },
    });
    await Promise.all([one, two].map(({ backplane }) => backplane.leave()));
  });
});

describe.each(SHARED)('a claim whose node has died, over %s', (_, openStore) => {
  // A GET was under way to Redis for so long that its client had come back on another node before it was carried out.
  // Its node died before it could undo the claim: the stream was held by nobody, and the connection that was open got
  // nothing more, until a refresh found out hours later.
  it('does not leave the connection that it replaced open without messages', async () => {
    const backplane = openStore();
    const one = await startNode({ backplane: backplane(), commandTimeoutMs: 1_000 });
    const { client, sessionId } = await openSession(one.url);
    const stream = await client.listen(one.url);
    await expect.poll(() => stream.lastEventId).toBeDefined();

    const dead = new TestNode(backplane());
    await dead.backplane.ready();
    await dead.hold(sessionId, STANDALONE, { token: 'late', principal: 'anonymous' });
    await dead.backplane.leave();
    await one.mcp.session(sessionId).notify({ method: 'notifications/message', params: {} });

    await stream.untilEnded(15_000);
    expect(stream.messages).toEqual([]);
    const again = await client.listen(one.url, { lastEventId: stream.lastEventId ?? '' });
    await again.next(hasMethod('notifications/message'));
  });
});
