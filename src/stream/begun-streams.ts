import type { StreamName } from '../backplane/backplane.js';
import type { Clock } from '../protocol/clock.js';
import type { RequestId } from '../protocol/jsonrpc.js';
import type { OpenedStreams } from './opened-streams.js';

/** So many streams are remembered; of more, the oldest are forgotten. */
const MOST = 10_000;

interface Begun {
  at: number;
  requests: RequestId[];
  /** Its requests are being read, or their server is being built. */
  starting: boolean;
}

/**
 * The streams that this node has begun. It was given most of them: assigned to it as their session's owner, or claimed from a
 * dead node to run them again. The others were opened here: {@link OpenedStreams} remembers those.
 *
 * A stream is begun here once, whatever the backplane says later. A failover of Redis may lose the step that says so, and a
 * message that asks for it may be published again. A stream is remembered as long as its requests can be read in the log.
 */
export class BegunStreams {
  private readonly streams = new Map<string, Begun>();

  constructor(
    private readonly clock: Pick<Clock, 'elapsed'>,
    private readonly keepMs: number,
    private readonly opened: OpenedStreams,
  ) {}

  /**
   * Calls `start`, which resolves as soon as the requests of the stream are among the running calls; `undefined`: this node
   * has begun the stream before, and `start` is not called.
   */
  begin(
    { sessionId, stream, requests }: { sessionId: string; stream: string; requests: RequestId[] },
    start: () => Promise<void>,
  ): Promise<void> | undefined {
    const key = keyOf(sessionId, stream);
    if (this.streams.has(key) || this.opened.isRunHere(stream)) return undefined;
    const begun = { at: this.clock.elapsed(), requests, starting: true };
    this.streams.set(key, begun);
    this.forgetOldest();
    return start().finally(() => (begun.starting = false));
  }

  /** This node runs the requests of a stream that was opened here. */
  noteOpened(stream: string): void {
    this.opened.setRunHere(stream, true);
  }

  isStarting(sessionId: string, stream: string): boolean {
    return this.streams.get(keyOf(sessionId, stream))?.starting === true;
  }

  /** The requests with which this node has begun a stream; none if it has not. */
  requestsOf(sessionId: string, stream: string): RequestId[] {
    return this.streams.get(keyOf(sessionId, stream))?.requests ?? [];
  }

  /** The streams of some sessions. */
  of(sessions: Set<string>): StreamName[] {
    if (sessions.size === 0) return [];
    return [...this.streams.keys()].flatMap((key) => {
      const [sessionId = '', stream = ''] = key.split(' ');
      return sessions.has(sessionId) ? { sessionId, stream } : [];
    });
  }

  /** Another node has taken the stream over. Should that one die, this node may be given the stream again. */
  forget(sessionId: string, stream: string): void {
    this.streams.delete(keyOf(sessionId, stream));
    this.opened.setRunHere(stream, false);
  }

  private forgetOldest(): void {
    const oldest = this.clock.elapsed() - this.keepMs;
    for (const [key, { at, starting }] of this.streams) {
      if (starting) continue;
      if (this.streams.size <= MOST && at > oldest) return;
      this.streams.delete(key);
    }
  }
}

function keyOf(sessionId: string, stream: string): string {
  return `${sessionId} ${stream}`;
}
