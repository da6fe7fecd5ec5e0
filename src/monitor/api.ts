import type { ServerResponse } from 'node:http';
import type { Observer } from '../operator/observer.js';
import type { SessionEventType } from '../options/public-types.js';
import { VERSION } from '../protocol/version.js';
import type { EventSummary } from '../timeline/event-summary.js';
import { ClusterFeed } from './cluster-feed.js';
import { exportOf } from './exports.js';
import type { HandlerOptions } from './handler.js';
import { eventIdOf, queryOf, sessionOf, textOf } from './incoming.js';
import { EventStream, Refused, sendJson, sendText } from './reply.js';
import type { Summarize } from './summarize.js';
import { summarizer } from './summarize.js';
import type { ClusterView, Hello, SessionView, TailEvents } from './wire.js';

/** How many events are sent at a time. */
const BATCH = 200;
const TAIL_POLL_MS = 500;

/** The calls of the page. */
export class Api {
  private readonly feed: ClusterFeed;
  private readonly summarize: Summarize;
  private readonly streams = new Set<EventStream>();
  private readonly hello: Hello;
  private readonly maxWatchers: number;

  constructor(
    private readonly observer: Observer,
    private readonly options: HandlerOptions,
  ) {
    const { payloads = false, allowKill = false, prefix = 'mcp', maxWatchers = 20 } = options;
    this.summarize = summarizer(payloads, options.redact);
    this.feed = new ClusterFeed(observer, this.summarize);
    this.hello = { version: VERSION, allowKill, payloads, prefix };
    this.maxWatchers = maxWatchers;
  }

  async answer(name: string, body: Record<string, unknown>, res: ServerResponse): Promise<void> {
    switch (name) {
      case 'hello': {
        sendJson(res, 200, this.hello);
        return;
      }
      case 'cluster': {
        this.watchCluster(res);
        return;
      }
      case 'sessions': {
        sendJson(res, 200, await this.observer.findSessions(queryOf(body)));
        return;
      }
      case 'session': {
        // The page asks again and again, so a session that has ended is no error.
        sendJson(
          res,
          200,
          ((await this.observer.details(sessionOf(body))) ?? null) satisfies SessionView | null,
        );
        return;
      }
      case 'tail':
        return this.tail(sessionOf(body), eventIdOf(body, 'after'), res);
      case 'state': {
        const state = await this.observer.sessions.stateAt(sessionOf(body), eventIdOf(body, 'at'));
        if (state === undefined) throw new Refused(404, 'There is no such session');
        sendJson(res, 200, state);
        return;
      }
      case 'export': {
        const { type, text } = await exportOf(this.observer, {
          id: sessionOf(body),
          format: textOf(body, 'format'),
          summarize: this.summarize,
          options: this.options,
        });
        sendText(res, 200, type, text);
        return;
      }
      case 'kill':
        if (!this.hello.allowKill) throw new Refused(403, 'This page may not end sessions');
        if (!(await this.observer.sessions.delete(sessionOf(body)))) {
          throw new Refused(404, 'There is no such session');
        }
        {
          sendJson(res, 200, { ended: true });
          return;
        }
      default:
        throw new Refused(404, 'There is no such call');
    }
  }

  close(): void {
    this.feed.close();
    for (const stream of this.streams) stream.end();
    this.streams.clear();
  }

  private watchCluster(res: ServerResponse): void {
    const stream = this.open(res);
    let sending = false;
    const stop = this.feed.watch((view: ClusterView) => {
      // A page that is slow to read misses some looks.
      if (sending) return;
      sending = true;
      void stream.send(view).finally(() => (sending = false));
    });
    stream.closed.addEventListener('abort', stop, { once: true });
  }

  /** Sends the events of a session, and then new ones, until the session or the page is gone. */
  private async tail(id: string, after: string | undefined, res: ServerResponse): Promise<void> {
    if ((await this.observer.sessions.get(id)) === undefined) {
      throw new Refused(404, 'There is no such session');
    }
    const stream = this.open(res);
    const signal = stream.closed;
    try {
      let last = after;
      let lastType: SessionEventType | undefined;
      let batch: EventSummary[] = [];
      const flush = async (live: boolean): Promise<void> => {
        const events: TailEvents = { events: batch, live };
        batch = [];
        await stream.send(events);
      };
      for await (const event of this.observer.sessions.events(id, {
        ...(after !== undefined && { after }),
        signal,
      })) {
        batch.push(this.summarize(id, event));
        last = event.id;
        lastType = event.type;
        if (batch.length >= BATCH) await flush(false);
      }
      await flush(true);
      for await (const event of this.observer.sessions.events(id, {
        ...(last !== undefined && { after: last }),
        ...{ follow: true, pollMs: TAIL_POLL_MS, signal },
      })) {
        batch.push(this.summarize(id, event));
        lastType = event.type;
        // Events that were read together are sent together.
        if (batch.length >= BATCH) await flush(true);
        else if (batch.length === 1) setImmediate(() => void flush(true).catch(() => undefined));
      }
      if (batch.length > 0) await flush(true);
      // An iteration that has read nothing does not tell the end of the session.
      if (!signal.aborted && lastType !== 'session.closed') {
        const at = Date.now();
        const kind = 'note' as const;
        await stream.send({
          events: [{ id: `${at}-0`, at, type: 'session.closed', kind }],
          live: true,
        } satisfies TailEvents);
      }
    } catch {
      // The page opens the stream anew, and is told what is wrong then.
    } finally {
      stream.end();
    }
  }

  private open(res: ServerResponse): EventStream {
    if (this.streams.size >= this.maxWatchers) {
      throw new Refused(503, `${this.maxWatchers} pages watch already`);
    }
    const stream = new EventStream(res);
    this.streams.add(stream);
    stream.closed.addEventListener('abort', () => this.streams.delete(stream), { once: true });
    return stream;
  }
}
