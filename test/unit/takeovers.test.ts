import { describe, expect, it } from 'vitest';
import type { NodeMessage } from '../../src/backplane/backplane.js';
import { ConnectionTakeovers } from '../../src/stream/followers/connection-takeovers.js';
import { Followers } from '../../src/stream/followers/followers.js';
import { follow } from './support/fake-stream.js';
import { ManualClock, settled } from './support/manual-clock.js';

const held = { sessionId: 'session', stream: 'g', token: 'token' };

/** Two nodes, whose messages wait until the test passes them on. */
function setUp() {
  const clock = new ManualClock();
  const sent: { to: string; message: NodeMessage }[] = [];
  const fails = { next: false };
  const send = (to: string, message: NodeMessage): Promise<void> => {
    if (fails.next) return Promise.reject(new Error('away'));
    sent.push({ to, message });
    return Promise.resolve();
  };
  const followers = { a: new Followers(), b: new Followers() };
  const commitQueue = { submit: () => Promise.resolve('gone' as const) };
  const nodes = {
    a: new ConnectionTakeovers('a', { send }, followers.a, clock, 2000, commitQueue),
    b: new ConnectionTakeovers('b', { send }, followers.b, clock, 2000, commitQueue),
  };
  const passOn = async (): Promise<void> => {
    for (const { to, message } of sent.splice(0)) {
      const node = nodes[to as 'a' | 'b'];
      if (message.type === 'release') node.onRelease(message);
      else if (message.type === 'released') node.onReleased(message);
      else if (message.type === 'held') node.onHeld(message);
      else throw new Error(`nobody sends ${message.type} here`);
    }
    await settled();
  };
  return { clock, sent, fails, followers, nodes, passOn };
}

describe('a stream that another node holds', () => {
  it('is given up there, and continues after the last message written', async () => {
    const { clock, followers, nodes, passOn } = setUp();
    const { follower, log, ends } = follow();
    followers.b.add(follower);
    follower.offer(log.append(), true);
    const released = nodes.a.release('b', held);
    await passOn();
    expect(ends).toEqual(['replaced']);
    await passOn();
    expect(await released).toEqual({ n: 1, logId: '10-0' });
    expect(clock.pending).toBe(0);
  });

  it('has no position if it was given up before', async () => {
    const { nodes, passOn } = setUp();
    const released = nodes.a.release('b', held);
    await passOn();
    await passOn();
    expect(await released).toBeUndefined();
  });

  it('is not ended if a later connection holds it', async () => {
    const { followers, nodes, passOn } = setUp();
    const { follower, ends } = follow({ token: 'later' });
    followers.b.add(follower);
    const released = nodes.a.release('b', held);
    await passOn();
    await passOn();
    expect(await released).toBeUndefined();
    expect(ends).toEqual([]);
  });

  it('is not waited for if its node does not answer', async () => {
    const { clock, nodes, passOn } = setUp();
    const released = nodes.a.release('b', held);
    await clock.advance(250);
    expect(await released).toBeUndefined();
    // A late answer is ignored.
    await passOn();
    await passOn();
  });

  it('is not waited for if the message could not be sent', async () => {
    const { clock, fails, nodes } = setUp();
    fails.next = true;
    expect(await nodes.a.release('b', held)).toBeUndefined();
    expect(clock.pending).toBe(0);
  });
});

it('each answer reaches the caller that asked for it', async () => {
  const { followers, nodes, passOn } = setUp();
  const one = follow();
  const two = follow({ stream: 'other', position: { n: 5, logId: '50-0' } });
  followers.b.add(one.follower);
  followers.b.add(two.follower);
  const released = [nodes.a.release('b', held), nodes.a.release('b', { ...held, stream: 'other' })];
  await passOn();
  await passOn();
  expect((await Promise.all(released)).map((position) => position?.n)).toEqual([0, 5]);
});

it('a node that cannot answer still gives the stream up', async () => {
  const { fails, followers, nodes, passOn } = setUp();
  const { follower, ends } = follow();
  followers.b.add(follower);
  void nodes.a.release('b', held);
  fails.next = true;
  await passOn();
  expect(ends).toEqual(['replaced']);
});

describe('a connection whose stream another node has claimed', () => {
  it('reads the log after there was time to release it or to undo the claim', async () => {
    const { clock, followers, nodes } = setUp();
    const { follower, log, ends } = follow();
    followers.b.add(follower);
    nodes.b.onTaken({ type: 'taken', ...held });
    await clock.advance(2_999);
    expect(log.reads).toBe(0);
    await clock.advance(1);
    expect(log.reads).toBe(1);
    expect(ends).toEqual([]); // it has the stream again
  });

  it('does not read the log once it is released', async () => {
    const { clock, followers, nodes, passOn } = setUp();
    const { follower, log, ends } = follow();
    followers.b.add(follower);
    nodes.b.onTaken({ type: 'taken', ...held });
    const released = nodes.a.release('b', held);
    await passOn();
    await passOn();
    await released;
    await clock.advance(3_000);
    expect(log.reads).toBe(0);
    expect(ends).toEqual(['replaced']);
    expect(clock.pending).toBe(0);
  });
});
