import type { ServerResponse } from 'node:http';
import type { Observer } from '../operator/observer.js';
import { VERSION } from '../protocol/version.js';
import { ClusterFeed } from './cluster-feed.js';
import { exportOf } from './exports.js';
import type { HandlerOptions } from './http/handler.js';
import { checkTraceUrl, eventIdOf, queryOf, sessionOf, textOf } from './http/incoming.js';
import { EventStream, Refused, sendJson, sendText } from './http/reply.js';
import { tailSession } from './session-tail.js';
import type { Summarize } from './summarize.js';
import { summarizer } from './summarize.js';
import type { ClusterView, Hello, SessionView } from './wire.js';

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
    const {
      payloads = false,
      allowKill = false,
      prefix = 'mcp',
      maxWatchers = 20,
      traceUrl,
    } = options;
    if (traceUrl !== undefined) checkTraceUrl(traceUrl);
    this.summarize = summarizer(payloads, options.redact);
    this.feed = new ClusterFeed(observer, this.summarize);
    this.hello = {
      ...{ version: VERSION, allowKill, payloads, prefix },
      ...(traceUrl !== undefined && { traceUrl }),
    };
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

  private async tail(id: string, after: string | undefined, res: ServerResponse): Promise<void> {
    const { sessions } = this.observer;
    // A page that has seen the session before is told of its end.
    if (after === undefined && (await sessions.get(id)) === undefined) {
      throw new Refused(404, 'There is no such session');
    }
    const stream = this.open(res);
    try {
      await tailSession(id, {
        ...{ sessions, after, summarize: this.summarize, signal: stream.closed },
        send: (tail) => stream.send(tail),
      });
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
