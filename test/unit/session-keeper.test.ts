import { describe, expect, it } from 'vitest';
import type { Streams, TouchReply, TouchRequest } from '../../src/backplane/backplane.js';
import { Followers } from '../../src/stream/followers/followers.js';
import { SessionKeeper } from '../../src/stream/session-keeper.js';
import { follow } from './support/fake-stream.js';
import { ManualClock, settled } from './support/manual-clock.js';
import { partOf } from '../support/part-of.js';

const TTL_MS = 26_000;

function setUp() {
  const clock = new ManualClock();
  const followers = new Followers();
  const touches: TouchRequest[][] = [];
  const gone: string[] = [];
  const running = new Map<string, string[]>();
  const taken: string[][] = [];
  const state = {
    fails: false,
    reply: (request: TouchRequest): TouchReply => ({
      status: 'ok',
      streams: request.streams.map(({ position }) => ({
        last: position.n,
        held: true,
        ended: false,
      })),
      runs: (request.runs ?? []).map(() => true),
    }),
  };
  const touch = (requests: TouchRequest[]): Promise<TouchReply[]> => {
    touches.push(requests);
    if (state.fails) return Promise.reject(new Error('away'));
    return Promise.resolve(requests.map((request) => state.reply(request)));
  };
  const keeper = new SessionKeeper({
    backplane: partOf<Streams>({ touch }),
    followers,
    clock,
    sessionTtlMs: TTL_MS,
    running: () => running,
    onExecutionLost: (sessionId, stream) => taken.push([sessionId, stream]),
    onGone: (id) => gone.push(id),
  });
  return { clock, followers, touches, gone, running, taken, state, keeper };
}

describe('a session that is in use', () => {
  it('is kept alive: a refresh may fail, and the next still comes in time', async () => {
    const { clock, touches, running, followers } = setUp();
    running.set('calls', ['post']);
    followers.add(follow({ sessionId: 'listens' }).follower);
    await clock.advance(TTL_MS);
    expect(touches.length).toBeGreaterThanOrEqual(2);
    for (const requests of touches) {
      expect(requests.map(({ sessionId }) => sessionId).sort()).toEqual(['calls', 'listens']);
    }
  });

  it('is refreshed no more than once per third of its lifetime', async () => {
    const { clock, touches, running } = setUp();
    running.set('calls', ['post']);
    await clock.advance(10 * TTL_MS);
    expect(touches.length).toBeLessThanOrEqual(30);
  });

  it('is refreshed together with others, a hundred in a round trip', async () => {
    const { clock, touches, running } = setUp();
    for (let count = 0; count < 250; count += 1) running.set(`session${count}`, ['post']);
    await clock.advance(TTL_MS / 2);
    expect(touches.map((requests) => requests.length)).toEqual([100, 100, 50]);
  });

  it('is named once, with all its streams', async () => {
    const { clock, touches, running, followers } = setUp();
    running.set('session', ['post']);
    followers.add(follow().follower);
    followers.add(follow({ stream: 'other' }).follower);
    await clock.advance(TTL_MS / 2);
    expect(touches).toHaveLength(1);
    expect(touches[0]).toMatchObject([
      {
        sessionId: 'session',
        streams: [{ stream: 'g' }, { stream: 'other' }],
        runs: ['post'],
      },
    ]);
  });

  it('is refreshed the next time if the backplane was away', async () => {
    const { clock, touches, running, state, gone } = setUp();
    running.set('session', ['post']);
    state.fails = true;
    await clock.advance(2 * TTL_MS);
    expect(touches.length).toBeGreaterThanOrEqual(4);
    expect(gone).toEqual([]);
  });
});

it('refreshes a session at once on demand', async () => {
  const { touches, running, keeper } = setUp();
  running.set('session', ['post']);
  await keeper.refresh();
  expect(touches).toHaveLength(1);
});

it('sends nothing if no session is in use', async () => {
  const { clock, touches } = setUp();
  await clock.advance(10 * TTL_MS);
  expect(touches).toEqual([]);
});

describe('a refresh after a lost message', () => {
  it('makes the follower of a new message read the log', async () => {
    const { clock, followers, state } = setUp();
    const { follower, log, sink } = follow();
    followers.add(follower);
    log.append();
    state.reply = () => ({
      status: 'ok',
      streams: [{ last: 1, held: true, ended: false }],
      runs: [],
    });
    await clock.advance(TTL_MS / 2);
    expect(sink.numbers).toEqual([1]);
  });

  it('does not read the log if nothing was lost', async () => {
    const { clock, followers } = setUp();
    const { follower, log } = follow();
    followers.add(follower);
    await clock.advance(TTL_MS / 2);
    expect(log.reads).toBe(0);
  });

  it('ends a connection whose stream was taken over', async () => {
    const { clock, followers, state } = setUp();
    const { follower, ends } = follow();
    followers.add(follower);
    state.reply = () => ({
      status: 'ok',
      streams: [{ last: 0, held: false, ended: false }],
      runs: [],
    });
    await clock.advance(TTL_MS / 2);
    expect(ends).toEqual(['replaced']);
  });

  it('makes the follower of an ended stream read the rest', async () => {
    const { clock, followers, state } = setUp();
    const { follower, log, sink } = follow();
    followers.add(follower);
    log.append({ end: true });
    state.reply = () => ({
      status: 'ok',
      streams: [{ last: 1, held: false, ended: true }],
      runs: [],
    });
    await clock.advance(TTL_MS / 2);
    expect(sink.numbers).toEqual([1]);
    expect(sink.reason).toBe('complete');
  });

  it('reports requests that another node has taken', async () => {
    const { clock, running, taken, state } = setUp();
    running.set('session', ['mine', 'theirs']);
    state.reply = () => ({ status: 'ok', streams: [], runs: [true, false] });
    await clock.advance(TTL_MS / 2);
    expect(taken).toEqual([['session', 'theirs']]);
  });

  it('reports a session that has ended', async () => {
    const { clock, running, gone, state } = setUp();
    running.set('session', ['post']);
    state.reply = () => ({ status: 'gone' });
    await clock.advance(TTL_MS / 2);
    expect(gone).toEqual(['session']);
  });
});

describe('the position of a connection', () => {
  it('is reported about a second later, once for all that was shown meanwhile', async () => {
    const { clock, touches, keeper } = setUp();
    const { follower, log } = follow({ onMove: (moved) => keeper.noteMove(moved) });
    for (let count = 0; count < 5; count += 1) follower.offer(log.append(), true);
    await clock.advance(1100);
    expect(touches).toEqual([
      [
        {
          sessionId: 'session',
          streams: [{ stream: 'g', token: 'token', position: { n: 5, logId: '50-0' } }],
          runs: [],
        },
      ],
    ]);
    await clock.advance(5000);
    expect(touches).toHaveLength(1);
  });

  it('is not reported for the stream of a POST, nor for a connection that has ended', async () => {
    const { clock, touches, keeper } = setUp();
    const onMove = keeper.noteMove.bind(keeper);
    const ofPost = follow({ stream: 'post', onMove });
    const ended = follow({ onMove });
    ofPost.follower.offer(ofPost.log.append(), true);
    ended.follower.offer(ended.log.append(), true);
    ended.follower.end('closed');
    await clock.advance(5000);
    expect(touches).toEqual([]);
  });
});

it('leaves no timer behind when it is closed', async () => {
  const { clock, keeper, followers, touches } = setUp();
  const { follower, log } = follow({ onMove: (moved) => keeper.noteMove(moved) });
  followers.add(follower);
  follower.offer(log.append(), true);
  keeper.close();
  follower.offer(log.append(), true);
  await settled();
  expect(clock.pending).toBe(0);
  expect(touches).toEqual([]);
});
