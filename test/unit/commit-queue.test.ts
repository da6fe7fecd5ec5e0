import { describe, expect, it, vi } from 'vitest';
import type {
  Commit,
  CommitReply,
  OpenOperation,
  Operation,
} from '../../src/backplane/backplane.js';
import { AnynodeError, FailedStep } from '../../src/protocol/errors.js';
import { CommitQueue } from '../../src/stream/commit-queue.js';
import { ManualClock, settled } from './support/manual-clock.js';

const TIMEOUT_MS = 2000;

/** A backplane that answers commits when the test decides. */
class FakeCommits {
  readonly seen: Commit[] = [];
  private waiting: { resolve: (reply: CommitReply) => void; reject: (error: Error) => void }[] = [];

  commit(commit: Commit): Promise<CommitReply> {
    this.seen.push(commit);
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  get underWay(): number {
    return this.waiting.length;
  }

  /** Answers the oldest commit. */
  async answer(reply: CommitReply = this.done()): Promise<void> {
    this.waiting.shift()?.resolve(reply);
    await settled();
  }

  async fail(error: Error = new AnynodeError('backplane_unavailable', 'away')): Promise<void> {
    this.waiting.shift()?.reject(error);
    await settled();
  }

  /** The reply of a backplane that has carried out all operations. */
  done(): CommitReply {
    const commit = this.seen[this.seen.length - this.waiting.length];
    const results = (commit?.operations ?? []).map((operation, at) =>
      operation.type === 'open'
        ? { status: 'opened' as const, position: { n: 0, logId: `${at}-0` } }
        : { status: 'appended' as const, position: { n: at, logId: `${at}-0` }, ended: false },
    );
    return { status: 'ok', revision: '1', results };
  }

  /** The messages of a commit, by which a test recognises it. */
  texts(at: number): (string | undefined)[] {
    return (this.seen[at]?.operations ?? []).map((operation) =>
      operation.type === 'append' ? operation.message : operation.type,
    );
  }
}

function setUp() {
  const clock = new ManualClock();
  const commits = new FakeCommits();
  return { clock, commits, commitQueue: new CommitQueue(commits, clock, TIMEOUT_MS) };
}

function say(message: string): Operation {
  return { type: 'append', stream: 'g', message };
}

function open(stream: string): OpenOperation {
  return {
    type: 'open',
    principal: 'anonymous',
    stream,
    token: 'token',
    requests: ['1', '2'],
    messages: ['{}'],
    revision: undefined,
  };
}

describe('the commit queue of a session', () => {
  // An exception instead of a rejection was not caught. It ended the process, or the queue waited forever.
  it('repeats a commit if the backplane throws', async () => {
    const { clock, commits } = setUp();
    let thrown = 0;
    const throwing = {
      commit: (commit: Commit) => {
        if (thrown === 2) return commits.commit(commit);
        thrown += 1;
        throw new Error('not ready');
      },
    };
    const commitQueue = new CommitQueue(throwing, clock, TIMEOUT_MS);
    const stored = commitQueue.store('s', [say('a')], false);
    await clock.advance(500);
    await commits.answer();
    expect(await stored).toMatchObject({ results: [{ status: 'appended' }] });
    await commitQueue.idle();
  });

  // After a failover, a log id that was given out again would let a cursor of a lost answer name another message.
  it('asks for log ids after those of an exchange', async () => {
    const { commits, commitQueue } = setUp();
    const exchanged = {
      status: 'exchanged' as const,
      asked: { n: 0, logId: '5-0' },
      answered: { n: 1, logId: '5-1' },
    };
    void commitQueue.store('s', [say('stands for an exchange')], true);
    await settled();
    await commits.answer({ status: 'ok', revision: '1', results: [exchanged] });
    void commitQueue.store('s', [say('next')], true);
    await settled();
    expect(commits.seen[1]).toMatchObject({ after: '5-1' });
    await commits.answer();
  });

  it('puts what is submitted in one turn into one commit', async () => {
    const { commits, commitQueue } = setUp();
    const submitted = [
      commitQueue.store('s', [say('a'), say('b')], false),
      commitQueue.store('s', [say('c')], false),
    ];
    await settled();
    expect(commits.texts(0)).toEqual(['a', 'b', 'c']);
    await commits.answer();
    const [first, second] = await Promise.all(submitted);
    expect(first).toMatchObject({ results: [{ position: { n: 0 } }, { position: { n: 1 } }] });
    expect(second).toMatchObject({ results: [{ position: { n: 2 } }] });
  });

  it('has one commit under way, and puts later operations into the next one, in order', async () => {
    const { commits, commitQueue } = setUp();
    void commitQueue.store('s', [say('a')], false);
    await settled();
    void commitQueue.store('s', [say('b')], false);
    void commitQueue.store('s', [say('c')], true);
    await settled();
    expect(commits.underWay).toBe(1);
    await commits.answer();
    expect(commits.texts(1)).toEqual(['b', 'c']);
    expect(commits.underWay).toBe(1);
    await commits.answer();
  });

  it('does not wait for other sessions', async () => {
    const { commits, commitQueue } = setUp();
    void commitQueue.store('one', [say('a')], false);
    void commitQueue.store('two', [say('b')], false);
    await settled();
    expect(commits.underWay).toBe(2);
  });

  it('limits the size of a commit', async () => {
    const { commits, commitQueue } = setUp();
    for (let count = 0; count < 100; count += 1) void commitQueue.store('s', [say('x')], false);
    await settled();
    expect(commits.seen[0]?.operations).toHaveLength(64);
    await commits.answer();
    expect(commits.seen[1]?.operations).toHaveLength(36);
    const big = 'x'.repeat(700 * 1024);
    for (let count = 0; count < 3; count += 1) void commitQueue.store('s', [say(big)], false);
    await commits.answer();
    expect(commits.seen[2]?.operations).toHaveLength(2);
  });

  it('refuses messages when too much waits, but not the end of a request', async () => {
    const { commits, commitQueue } = setUp();
    void commitQueue.store('s', [say('first')], false);
    await settled();
    const big = say('x'.repeat(1024 * 1024));
    for (let count = 0; count < 9; count += 1) void commitQueue.store('s', [big], false);
    await expect(commitQueue.store('s', [say('y')], false)).rejects.toMatchObject({
      code: 'backplane_unavailable',
    });
    const urgent = commitQueue.store('s', [say('end')], true);
    while (commits.underWay > 0) await commits.answer();
    await expect(urgent).resolves.toMatchObject({ results: [{ status: 'appended' }] });
    // There is room again.
    const later = commitQueue.store('s', [say('y')], false);
    await settled();
    await commits.answer();
    await expect(later).resolves.toBeDefined();
  });

  it('tells all callers that the session is gone', async () => {
    const { commits, commitQueue } = setUp();
    const asked = [commitQueue.submit('s', [say('a')]), commitQueue.store('s', [say('b')], false)];
    await settled();
    await commits.answer({ status: 'gone' });
    expect(await Promise.all(asked)).toEqual(['gone', 'gone']);
  });

  it('is idle when nothing waits and nothing is under way', async () => {
    const { commits, commitQueue } = setUp();
    await commitQueue.idle();
    void commitQueue.store('s', [say('a')], false);
    let idle = false;
    void commitQueue.idle().then(() => (idle = true));
    await settled();
    expect(idle).toBe(false);
    await commits.answer();
    expect(idle).toBe(true);
  });
});

describe('a commit whose outcome is not known', () => {
  // With another number, the backplane could not recognise the repeat, and would store two entries.
  it('is repeated with the same number and content until its outcome is known', async () => {
    const { clock, commits, commitQueue } = setUp();
    const said = commitQueue.store('s', [say('a')], false);
    await settled();
    await commits.fail();
    void commitQueue.store('s', [say('b')], false);
    await clock.advance(100);
    await commits.fail();
    await clock.advance(200);
    expect(commits.seen).toHaveLength(3);
    expect(new Set(commits.seen.map(({ number }) => number)).size).toBe(1);
    expect([0, 1, 2].map((at) => commits.texts(at))).toEqual([['a'], ['a'], ['a']]);
    await commits.answer();
    await expect(said).resolves.toBeDefined();
    expect(commits.texts(3)).toEqual(['b']);
    expect(commits.seen[3]?.number).toBeGreaterThan(commits.seen[2]?.number ?? 0);
  });
});

// The step was repeated forever, and all later messages of the session waited behind it.
it('does not repeat a step that failed inside the backplane, and goes on with the next one', async () => {
  const { commits, commitQueue } = setUp();
  const failed = commitQueue.store('s', [say('a')], false);
  await settled();
  const next = commitQueue.store('s', [say('b')], false);
  const fails = expect(failed).rejects.toMatchObject({ code: 'backplane_unavailable' });
  await commits.fail(new FailedStep(new Error('attempt to compare nil with number')));
  await fails;
  await commits.answer();
  await expect(next).resolves.toBeDefined();
});

it('reports a backplane that keeps refusing, once per commit', async () => {
  const clock = new ManualClock();
  const commits = new FakeCommits();
  const error = vi.fn();
  const commitQueue = new CommitQueue(commits, clock, TIMEOUT_MS, { error });
  void commitQueue.store('s', [say('a')], false);
  await settled();
  for (let failures = 1; failures <= 10; failures += 1) {
    await commits.fail();
    await clock.advance(1100);
    if (failures === 3) expect(error).not.toHaveBeenCalled();
  }
  expect(error).toHaveBeenCalledTimes(1);
  await commits.answer();
});

describe('submit', () => {
  it('rejects if the operation was not stored in time', async () => {
    const { clock, commitQueue } = setUp();
    const submitted = commitQueue.submit('s', [say('a')]);
    const rejected = expect(submitted).rejects.toMatchObject({ code: 'backplane_unavailable' });
    await clock.advance(TIMEOUT_MS);
    await rejected;
  });

  it('never sends an operation whose caller has given up', async () => {
    const { clock, commits, commitQueue } = setUp();
    void commitQueue.store('s', [say('stuck')], false);
    await settled();
    const submitted = commitQueue.submit('s', [open('never')]);
    const rejected = expect(submitted).rejects.toThrow(/not stored within 2000 ms/);
    await clock.advance(TIMEOUT_MS);
    await rejected;
    await commits.answer();
    expect(commits.seen).toHaveLength(1);
    await commitQueue.idle();
  });

  // The client was told 503: the ids of its requests must be free for its next attempt.
  it('abandons a stream that turns out to have been opened after all', async () => {
    const { clock, commits, commitQueue } = setUp();
    const submitted = commitQueue.submit('s', [say('a'), open('late')]);
    const rejected = expect(submitted).rejects.toMatchObject({ code: 'backplane_unavailable' });
    await clock.advance(TIMEOUT_MS);
    await rejected;
    await commits.answer();
    expect(commits.seen[1]?.operations).toEqual([
      { type: 'abandon', stream: 'late', requests: ['1', '2'] },
    ]);
    await commits.answer();
  });

  it('abandons no stream that was refused', async () => {
    const { clock, commits, commitQueue } = setUp();
    const submitted = commitQueue.submit('s', [open('late')]);
    const rejected = expect(submitted).rejects.toMatchObject({ code: 'backplane_unavailable' });
    await clock.advance(TIMEOUT_MS);
    await rejected;
    const refused = { status: 'duplicate' as const, stream: 'other', executor: 'node1' };
    await commits.answer({ status: 'ok', revision: '1', results: [refused] });
    expect(commits.seen).toHaveLength(1);
  });

  it('leaves no timer behind', async () => {
    const { clock, commits, commitQueue } = setUp();
    void commitQueue.submit('s', [say('a')]);
    await settled();
    await commits.answer();
    // All submissions share one timer, which fires once more without effect.
    await clock.advance(TIMEOUT_MS);
    expect(clock.pending).toBe(0);
  });
});

describe('close', () => {
  it('rejects operations that wait, that are repeated, and that come later', async () => {
    const { clock, commits, commitQueue } = setUp();
    const underWay = commitQueue.store('s', [say('a')], false);
    await settled();
    const waiting = commitQueue.submit('s', [say('b')]);
    const rejected = [underWay, waiting].map((promise) =>
      expect(promise).rejects.toMatchObject({ name: 'AnynodeError', code: 'closed' }),
    );
    commitQueue.close();
    await commits.fail();
    await clock.advance(1000);
    await Promise.all(rejected);
    await expect(commitQueue.submit('s', [say('c')])).rejects.toMatchObject({ code: 'closed' });
    await expect(commitQueue.store('s', [say('d')], true)).rejects.toMatchObject({
      code: 'closed',
    });
    expect(commits.seen).toHaveLength(1);
    expect(clock.pending).toBe(0);
  });

  it('lets a commit that is under way finish', async () => {
    const { commits, commitQueue } = setUp();
    const underWay = commitQueue.store('s', [say('a')], false);
    await settled();
    commitQueue.close();
    await commits.answer();
    await expect(underWay).resolves.toMatchObject({ results: [{ status: 'appended' }] });
  });

  it('rejects with `closed` if the backplane was left', async () => {
    const { commits, commitQueue } = setUp();
    const said = commitQueue.store('s', [say('a')], false);
    const rejected = expect(said).rejects.toMatchObject({ code: 'closed' });
    await settled();
    await commits.fail(new AnynodeError('closed', 'left'));
    await rejected;
  });
});

describe('ownership', () => {
  function setUpOwner() {
    const clock = new ManualClock();
    const commits = new FakeCommits();
    const becameOwner: string[] = [];
    const commitQueue = new CommitQueue(
      ...([commits, clock, TIMEOUT_MS, console] as const),
      ...([undefined, undefined, undefined] as const),
      (sessionId) => becameOwner.push(sessionId),
    );
    return { clock, commits, commitQueue, becameOwner };
  }

  // An owner that was paused became the owner again, after it had had a successor. What its outdated server object had said
  // meanwhile waited in the queue, and was stored.
  it('refuses waiting messages of the replica when a commit has made this node the owner', async () => {
    const { commits, commitQueue, becameOwner } = setUpOwner();
    const opened = commitQueue.submit('s', [open('p')]);
    await settled();
    const said = { type: 'append', stream: 'g', message: 'a' } as const;
    const outdated = commitQueue.store('s', [{ ...said, onlyIf: { owned: true } }], true);
    const refused = expect(outdated).rejects.toMatchObject({ code: 'closed' });
    const pushed = commitQueue.store('s', [say('b')], true);
    const results = [{ status: 'opened' as const, position: { n: 0, logId: '0-0' } }];
    await commits.answer({ status: 'ok', revision: '1', becameOwner: true, results });
    expect(becameOwner).toEqual(['s']);
    await opened;
    await refused;
    await commits.answer();
    await expect(pushed).resolves.toMatchObject({ results: [{ status: 'appended' }] });
    expect(commits.texts(1)).toEqual(['b']);
  });

  // Bug: the reply of the commit came too late for its client, which had got 503. The queue did not repeat the commit, so
  // nothing told this node that its replica was outdated.
  it('asks whether a commit has made this node the owner whose clients have got 503', async () => {
    const { clock, commits, commitQueue, becameOwner } = setUpOwner();
    const submitted = commitQueue.submit('s', [{ ...open('p'), owned: true }]);
    const rejected = expect(submitted).rejects.toMatchObject({ code: 'backplane_unavailable' });
    await clock.advance(TIMEOUT_MS);
    await rejected;
    const said = { type: 'append', stream: 'g', message: 'a' } as const;
    const outdated = commitQueue.store('s', [{ ...said, onlyIf: { owned: true } }], true);
    const refused = expect(outdated).rejects.toMatchObject({ code: 'closed' });
    await commits.fail();
    await commits.fail();
    await clock.advance(100);
    expect(commits.seen.slice(1)).toMatchObject([
      { number: 1, operations: [] },
      { number: 1, operations: [] },
    ]);
    await commits.answer({ status: 'ok', revision: '1', becameOwner: true, results: [] });
    expect(becameOwner).toEqual(['s']);
    await refused;
    expect(commits.seen.slice(3)).toMatchObject([
      { number: 2, operations: [{ type: 'abandon', stream: 'p' }] },
    ]);
    await commits.answer();
    await commitQueue.idle();
  });

  it.each<Operation>([
    open('p'),
    { type: 'receive', principal: '', message: '{}', route: { to: 'here' }, revision: undefined },
  ])('does not ask so where nodes own no sessions', async (operation) => {
    const { clock, commits, commitQueue } = setUpOwner();
    const submitted = commitQueue.submit('s', [operation]);
    const rejected = expect(submitted).rejects.toMatchObject({ code: 'backplane_unavailable' });
    await clock.advance(TIMEOUT_MS);
    await rejected;
    await commits.fail();
    expect(commits.seen.map(({ number }) => number)).toEqual(
      operation.type === 'open' ? [1, 2] : [1],
    );
  });
});
