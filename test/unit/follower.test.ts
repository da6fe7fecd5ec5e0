import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import type { StreamEvent } from '../../src/backplane/backplane.js';
import { follow } from './support/fake-stream.js';
import { settled } from './support/manual-clock.js';

describe('a follower that is live', () => {
  it('shows messages that arrive in sequence at once, without reading the log', () => {
    const { follower, log, sink } = follow();
    for (let count = 0; count < 3; count += 1) follower.offer(log.append(), true);
    expect(sink.numbers).toEqual([1, 2, 3]);
    expect(log.reads).toBe(0);
    expect(follower.position).toEqual({ n: 3, logId: '30-0' });
  });

  it('shows a message once that is offered twice', async () => {
    const { follower, log, sink } = follow();
    const event = log.append();
    follower.offer(event, true);
    follower.offer(event, true);
    await settled();
    expect(sink.numbers).toEqual([1]);
    expect(log.reads).toBe(0);
  });

  it('reads the log when it sees a gap', async () => {
    const { follower, log, sink } = follow();
    log.append();
    log.append();
    follower.offer(log.append(), true);
    expect(sink.numbers).toEqual([]);
    await settled();
    expect(sink.numbers).toEqual([1, 2, 3]);
    expect(sink.shown.map(({ message }) => message)).toEqual([
      'message 1',
      'message 2',
      'message 3',
    ]);
  });

  // The failover's own lost connection makes the node read the log, too, but a message of this node may come sooner.
  it('reads the log when another message has got the number of the one that it showed last', async () => {
    const { follower, log, sink } = follow();
    follower.offer(log.append(), true);
    log.lose(1);
    log.append({ message: 'of another node, which nobody tells' });
    follower.offer(log.append(), true);
    await settled();
    expect(sink.shown.map(({ message }) => message)).toEqual([
      'message 1',
      'of another node, which nobody tells',
      'message 2',
    ]);
  });

  it('reads the log again when that happens while it reads', async () => {
    const { follower, log, sink } = follow();
    follower.offer(log.append(), true);
    log.hold();
    follower.poke();
    log.lose(1);
    log.append({ message: 'of another node, which nobody tells' });
    follower.offer(log.append(), true);
    log.letGo();
    await settled();
    expect(sink.shown.map(({ message }) => message)).toEqual([
      'message 1',
      'of another node, which nobody tells',
      'message 2',
    ]);
  });

  it('reads the log for a message that was too big to be sent along', async () => {
    const { follower, log, sink } = follow();
    follower.offer({ ...log.append({ message: 'big' }), message: undefined }, false);
    await settled();
    expect(sink.shown.map(({ message }) => message)).toEqual(['big']);
  });

  it('reads the log when it is poked', async () => {
    const { follower, log, sink } = follow();
    log.append();
    follower.poke();
    await settled();
    expect(sink.numbers).toEqual([1]);
  });

  it('reports every message that it shows', () => {
    const onMove = vi.fn();
    const { follower, log } = follow({ onMove });
    follower.offer(log.append(), true);
    follower.offer(log.append(), true);
    expect(onMove.mock.calls).toEqual([[follower], [follower]]);
  });
});

describe('a follower that starts at a cursor', () => {
  it('shows the messages after the cursor, and none before', async () => {
    const { follower, log, sink } = follow({ position: { n: 2, logId: '20-0' } });
    for (let count = 0; count < 4; count += 1) log.append();
    follower.poke();
    await settled();
    expect(sink.numbers).toEqual([3, 4]);
  });

  it('reads page after page', async () => {
    const { follower, log, sink } = follow();
    log.pageSize = 2;
    for (let count = 0; count < 5; count += 1) log.append();
    follower.poke();
    await settled();
    expect(sink.numbers).toEqual([1, 2, 3, 4, 5]);
    expect(log.reads).toBe(3);
  });

  it('has asked for the next page when it shows one', async () => {
    const { follower, log, readsWhenShown } = pages();
    follower.poke();
    await settled();
    expect(log.reads).toBe(3);
    expect(readsWhenShown).toEqual([2, 2, 3, 3, 3]);
  });

  it('asks for no page ahead while the client has not taken all that was written', async () => {
    const { follower, sink, readsWhenShown } = pages();
    sink.buffered = 1;
    follower.poke();
    await settled();
    expect(readsWhenShown).toEqual([1, 1, 2, 2, 3]);
  });

  it('does not use the page ahead if the client took only a part of the one before', async () => {
    const { follower, log, sink } = pages();
    sink.room = 1;
    follower.poke();
    await settled();
    expect(log.reads).toBe(2);
    sink.makeRoom();
    await settled();
    expect(sink.numbers).toEqual([1, 2, 3, 4, 5]);
  });

  it('asks again for a page that it could not get ahead', async () => {
    const { follower, log, sink, clock } = pages();
    log.hold();
    follower.poke();
    log.failures = 1;
    log.letGo();
    await settled();
    expect(sink.numbers).toEqual([1, 2]);
    await clock.advance(1000);
    expect(sink.numbers).toEqual([1, 2, 3, 4, 5]);
  });

  it('shows nothing of the page ahead if it has ended meanwhile', async () => {
    const { follower, log, sink } = pages();
    const write = sink.write.bind(sink);
    sink.write = (event) => {
      const room = write(event);
      if (event.position.n === 2) follower.end('replaced');
      return room;
    };
    follower.poke();
    await settled();
    expect(sink.numbers).toEqual([1, 2]);
    expect(log.reads).toBe(2);
  });

  // What arrived was stored after the page ahead was read, and would be missing without another read.
  it('reads again if more arrived than it keeps while the page ahead was read', async () => {
    const { follower, log, sink } = pages();
    follower.poke();
    log.hold();
    await settled();
    for (let count = 0; count < 200; count += 1) follower.offer(log.append(), true);
    log.pageSize = Number.POSITIVE_INFINITY;
    log.letGo();
    await settled();
    expect(sink.numbers).toEqual(Array.from({ length: 205 }, (_, at) => at + 1));
  });

  it('shows the messages of a page between `cork` and `uncork`', async () => {
    const { follower, sink } = pages();
    follower.poke();
    await settled();
    expect(sink.corked).toEqual([[1, 2], [3, 4], [5]]);
    expect(sink.isCorked).toBe(false);
  });
});

/** Follows a stream with five messages, and notes how many pages were asked for when each of them was shown. */
function pages() {
  const readsWhenShown: number[] = [];
  const followed = follow({ onMove: () => void readsWhenShown.push(followed.log.reads) });
  const { log } = followed;
  log.pageSize = 2;
  for (let count = 0; count < 5; count += 1) log.append();
  return { ...followed, readsWhenShown };
}

describe('a follower that reads the log', () => {
  it('keeps messages that arrive meanwhile, and merges them by number', async () => {
    const { follower, log, sink } = follow();
    log.append();
    log.hold();
    follower.poke();
    const [two, three] = [log.append(), log.append()];
    follower.offer(three, true);
    follower.offer(two, true);
    follower.offer(two, true);
    log.letGo();
    await settled();
    expect(sink.numbers).toEqual([1, 2, 3]);
    // The messages that arrived were enough, so the follower did not read the log again.
    expect(log.reads).toBe(1);
  });

  it('reads again if there is a gap before the messages that arrived', async () => {
    const { follower, log, sink } = follow();
    log.append();
    log.hold();
    follower.poke();
    log.append();
    follower.offer(log.append(), true);
    log.letGo();
    await settled();
    expect(sink.numbers).toEqual([1, 2, 3]);
    expect(log.reads).toBe(2);
  });

  it('reads again if it is poked during the read', async () => {
    const { follower, log, sink } = follow();
    log.append();
    log.hold();
    follower.poke();
    log.append();
    follower.poke();
    log.letGo();
    await settled();
    expect(sink.numbers).toEqual([1, 2]);
  });

  it('keeps no more than a bounded number of messages', async () => {
    const { follower, log, sink } = follow();
    log.append();
    log.hold();
    follower.poke();
    for (let count = 0; count < 1000; count += 1) follower.offer(log.append(), true);
    const kept = (follower as unknown as { kept: Map<number, StreamEvent> }).kept;
    expect(kept.size).toBeLessThanOrEqual(128);
    log.letGo();
    await settled();
    expect(sink.numbers).toEqual(Array.from({ length: 1001 }, (_, at) => at + 1));
  });

  // A node hands its own messages on in any size. A follower kept 128 messages of 4 MB for each connection.
  it('keeps no more than a page of bytes, and one message of any size beyond', async () => {
    const { follower, log, sink } = follow();
    log.append();
    log.hold();
    follower.poke();
    const message = 'x'.repeat(200_000);
    for (let count = 0; count < 20; count += 1) follower.offer(log.append({ message }), true);
    const kept = (follower as unknown as { kept: Map<number, StreamEvent> }).kept;
    expect(kept.size).toBe(2);
    log.letGo();
    await settled();
    expect(sink.numbers).toEqual(Array.from({ length: 21 }, (_, at) => at + 1));
    // Messages that were kept before do not count any more.
    log.hold();
    follower.poke();
    for (let count = 0; count < 3; count += 1) follower.offer(log.append({ message }), true);
    expect(kept.size).toBe(2);
    log.letGo();
    await settled();
    expect(sink.numbers).toHaveLength(24);
  });

  it('tries again with longer pauses while the backplane is away, and keeps the connection', async () => {
    const { follower, log, sink, clock, ends } = follow();
    log.append();
    log.failures = 6;
    follower.poke();
    await clock.advance(100);
    expect(log.reads).toBe(1);
    await clock.advance(10_000);
    expect(log.reads).toBe(7);
    expect(sink.numbers).toEqual([1]);
    expect(ends).toEqual([]);
  });

  it('shows nothing after it has ended during a read', async () => {
    const { follower, log, sink, ends } = follow();
    log.append();
    log.hold();
    follower.poke();
    follower.end('replaced');
    log.letGo();
    await settled();
    expect(sink.numbers).toEqual([]);
    expect(ends).toEqual(['replaced']);
  });

  it('stops trying after it has ended', async () => {
    const { follower, log, clock } = follow();
    log.failures = 1;
    follower.poke();
    await settled();
    follower.end('closed');
    await clock.advance(10_000);
    expect(log.reads).toBe(1);
    expect(clock.pending).toBe(0);
  });
});

describe('a follower whose client reads slowly', () => {
  it('neither shows nor keeps nor reads anything until there is room', async () => {
    const { follower, log, sink } = follow();
    sink.room = 2;
    for (let count = 0; count < 100; count += 1) follower.offer(log.append(), true);
    follower.poke();
    await settled();
    expect(sink.numbers).toEqual([1, 2]);
    expect(log.reads).toBe(0);
    expect((follower as unknown as { kept?: Map<number, StreamEvent> }).kept).toBeUndefined();
  });

  it('reads the log when there is room', async () => {
    const { follower, log, sink } = follow();
    sink.room = 1;
    for (let count = 0; count < 5; count += 1) follower.offer(log.append(), true);
    sink.makeRoom(2);
    await settled();
    expect(sink.numbers).toEqual([1, 2, 3]);
    sink.makeRoom();
    await settled();
    expect(sink.numbers).toEqual([1, 2, 3, 4, 5]);
    follower.offer(log.append(), true);
    expect(sink.numbers.at(-1)).toBe(6);
  });

  it('can be ended while it waits', async () => {
    const { follower, log, sink } = follow();
    sink.room = 1;
    follower.offer(log.append(), true);
    follower.end('closed');
    sink.makeRoom();
    await settled();
    expect(log.reads).toBe(0);
  });
});

describe('a follower ends', () => {
  it('with the last message of its stream', () => {
    const { follower, log, sink, ends } = follow();
    follower.offer(log.append({ end: true }), true);
    expect(sink.numbers).toEqual([1]);
    expect(sink.reason).toBe('complete');
    expect(ends).toEqual(['complete']);
    expect(follower.ended).toBe(true);
  });

  it('with the last message in the log, if it resumes a stream that has ended', async () => {
    const { follower, log, sink } = follow();
    log.append();
    log.append({ end: true });
    follower.poke();
    await settled();
    expect(sink.numbers).toEqual([1, 2]);
    expect(sink.reason).toBe('complete');
  });

  it('after the last message, if the backplane has lost its stream', async () => {
    const { follower, log, sink } = follow();
    log.append();
    log.open = false;
    follower.poke();
    await settled();
    expect(sink.numbers).toEqual([1]);
    expect(sink.reason).toBe('unknown');
  });

  it('when the session is gone', async () => {
    const { follower, log, sink } = follow();
    log.gone = true;
    follower.poke();
    await settled();
    expect(sink.reason).toBe('gone');
  });

  // A partial replay would be a gap that the client does not notice.
  it('when the log was trimmed beyond its position, without showing a later message', async () => {
    const { follower, log, sink } = follow();
    for (let count = 0; count < 5; count += 1) log.append();
    log.trimmed = 2;
    follower.poke();
    await settled();
    expect(sink.numbers).toEqual([]);
    expect(sink.reason).toBe('overtaken');
  });

  it('once only, and ignores later messages', async () => {
    const { follower, log, sink, ends } = follow();
    follower.end('hangup');
    follower.end('closed');
    follower.offer(log.append(), true);
    follower.poke();
    await settled();
    expect(ends).toEqual(['hangup']);
    expect(sink.numbers).toEqual([]);
    expect(log.reads).toBe(0);
  });
});

describe('a follower of a log that has lost its end', () => {
  it('shows the messages that got the lost numbers', async () => {
    const { follower, log, sink } = follow();
    for (let count = 0; count < 5; count += 1) follower.offer(log.append(), true);
    log.lose(2);
    const fresh = log.append({ message: 'another 4' });
    // The message looks like one that was shown before. The position check finds it.
    follower.offer(fresh, true);
    follower.poke();
    await settled();
    expect(sink.numbers).toEqual([1, 2, 3, 4, 5, 4]);
    expect(sink.shown.at(-1)?.message).toBe('another 4');
    follower.offer(log.append(), true);
    expect(sink.numbers.at(-1)).toBe(5);
  });

  it('continues with the numbers of the log, if the log has nothing new yet', async () => {
    const { follower, log, sink } = follow();
    for (let count = 0; count < 5; count += 1) follower.offer(log.append(), true);
    log.lose(2);
    follower.poke();
    await settled();
    follower.offer(log.append({ message: 'another 4' }), true);
    await settled(); // it has shown no message that this one could come after: it looks once more
    expect(sink.shown.at(-1)?.message).toBe('another 4');
  });
});

describe('a request of the server', () => {
  it('is not shown if its node is dead, while later messages are', async () => {
    const { follower, log, sink } = follow({
      isAlive: (node) => Promise.resolve(node === 'alive'),
    });
    log.append({ asker: 'alive' });
    log.append({ asker: 'dead' });
    log.append();
    log.append({ asker: 'dead' });
    follower.poke();
    await settled();
    expect(sink.numbers).toEqual([1, 3]);
    follower.offer(log.append(), true);
    expect(sink.numbers).toEqual([1, 3, 5]);
  });

  it('waits while it is unknown whether its node is alive', async () => {
    const isAlive = vi.fn<(nodeId: string) => Promise<boolean>>();
    isAlive.mockRejectedValueOnce(new Error('the backplane is away')).mockResolvedValue(true);
    const { follower, log, sink, clock } = follow({ isAlive });
    log.append({ asker: 'somebody' });
    follower.poke();
    await settled();
    expect(sink.numbers).toEqual([]);
    await clock.advance(1000);
    expect(sink.numbers).toEqual([1]);
  });
});

describe('a follower under random faults', () => {
  type Step =
    | { do: 'append'; offers: number; inline: boolean }
    | { do: 'repeat'; back: number }
    | { do: 'hold' | 'let go' | 'poke' | 'fail' }
    | { do: 'full'; room: number }
    | { do: 'make room' }
    | { do: 'turn' };

  const step: fc.Arbitrary<Step> = fc.oneof(
    fc.record({
      do: fc.constant('append' as const),
      // With 0, the wake-up is lost.
      offers: fc.integer({ min: 0, max: 2 }),
      inline: fc.boolean(),
    }),
    fc.record({ do: fc.constant('repeat' as const), back: fc.integer({ min: 1, max: 6 }) }),
    fc.record({
      do: fc.constantFrom('hold' as const, 'let go' as const, 'poke' as const, 'fail' as const),
    }),
    fc.record({ do: fc.constant('full' as const), room: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ do: fc.constant('make room' as const) }),
    fc.record({ do: fc.constant('turn' as const) }),
  );

  it('shows every message once, in order, without a gap', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 60 }),
        fc.integer({ min: 1, max: 4 }),
        async (steps, pageSize) => {
          const { follower, log, sink, clock } = follow();
          log.pageSize = pageSize;
          for (const action of steps) {
            switch (action.do) {
              case 'append': {
                const event = log.append();
                for (let times = 0; times < action.offers; times += 1) {
                  follower.offer(
                    action.inline ? event : { ...event, message: undefined },
                    action.inline,
                  );
                }
                break;
              }
              case 'repeat': {
                const event = log.events.at(-action.back);
                if (event !== undefined) follower.offer(event, true);
                break;
              }
              case 'hold':
                log.hold();
                break;
              case 'let go':
                log.letGo();
                break;
              case 'poke':
                follower.poke();
                break;
              case 'fail':
                log.failures += 1;
                break;
              case 'full':
                sink.room = action.room;
                break;
              case 'make room':
                if (sink.isFull) sink.makeRoom();
                break;
              case 'turn':
                await settled();
                break;
            }
          }
          // The faults end, and the position check runs.
          log.failures = 0;
          log.letGo();
          sink.makeRoom();
          await clock.advance(10_000);
          follower.poke();
          await clock.advance(10_000);
          expect(sink.numbers).toEqual(log.events.map(({ position }) => position.n));
          expect(sink.shown.map(({ message }) => message)).toEqual(
            log.events.map(({ message }) => message),
          );
          expect(follower.position.n).toBe(log.events.length);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
