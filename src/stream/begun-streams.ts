import type { StreamName } from '../backplane/backplane.js';
import type { Clock } from '../protocol/timing/clock.js';
import type { RequestId } from '../protocol/json/jsonrpc.js';
import type { OpenedStreams } from './opened-streams.js';

/** How many streams are remembered. Beyond that, the oldest are forgotten. */
const MOST_STREAMS = 10_000;

interface BegunStream {
  at: number;
  requests: RequestId[];
  /** True while the requests are being read or their server object is being built. */
  starting: boolean;
}

/**
 * Remembers the streams that other nodes opened and this node has begun. They were assigned to this node as the owner of
 * their session, or this node claimed them from a dead node to run them again. The streams that this node opened are
 * remembered by {@link OpenedStreams}.
 *
 * A node begins a stream once only. The backplane alone cannot ensure that: a failover of Redis may lose the step that
 * marks the stream as begun, and another node may then repeat its message `run`. Each stream is remembered for as long as
 * its requests can be in the log.
 */
export class BegunStreams {
  private readonly streams = new Map<string, BegunStream>();

  constructor(
    private readonly clock: Pick<Clock, 'elapsed'>,
    private readonly keepMs: number,
    private readonly opened: OpenedStreams,
  ) {}

  /**
   * Calls `start`, which resolves as soon as the requests of the stream are among the running calls. If this node has begun
   * the stream before, it returns `undefined` and does not call `start`.
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

  /** Notes that this node runs the requests of a stream that it opened. */
  noteOpened(stream: string): void {
    this.opened.setRunHere(stream, true);
  }

  isStarting(sessionId: string, stream: string): boolean {
    return this.streams.get(keyOf(sessionId, stream))?.starting === true;
  }

  /** Returns the requests with which this node began a stream, or none if this node did not begin it. */
  requestsOf(sessionId: string, stream: string): RequestId[] {
    return this.streams.get(keyOf(sessionId, stream))?.requests ?? [];
  }

  /** Returns the remembered streams of these sessions. */
  of(sessions: Set<string>): StreamName[] {
    if (sessions.size === 0) return [];
    return [...this.streams.keys()].flatMap((key) => {
      const [sessionId = '', stream = ''] = key.split(' ');
      return sessions.has(sessionId) ? { sessionId, stream } : [];
    });
  }

  /** Forgets a stream that another node has taken over. If that node dies, this node may begin the stream again. */
  forget(sessionId: string, stream: string): void {
    this.streams.delete(keyOf(sessionId, stream));
    this.opened.setRunHere(stream, false);
  }

  private forgetOldest(): void {
    const oldest = this.clock.elapsed() - this.keepMs;
    for (const [key, { at, starting }] of this.streams) {
      if (starting) continue;
      if (this.streams.size <= MOST_STREAMS && at > oldest) return;
      this.streams.delete(key);
    }
  }
}

function keyOf(sessionId: string, stream: string): string {
  return `${sessionId} ${stream}`;
}
