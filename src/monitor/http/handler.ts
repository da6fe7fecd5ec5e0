import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Observer } from '../../operator/observer.js';
import type { Redact } from '../../options/public-types.js';
import { AnynodeError } from '../../protocol/errors.js';
import { Api } from '../api.js';
import { bodyOf, checkOrigin, pathOf } from './incoming.js';
import { pageAssets } from '../page-assets.js';
import { Refused, sendJson, sendText, setSafeHeaders } from './reply.js';

/** What the page may show and do. */
export interface HandlerOptions {
  prefix?: string | undefined;
  allowKill?: boolean | undefined;
  payloads?: boolean | undefined;
  redact?: Redact | undefined;
  maxWatchers?: number | undefined;
  traceUrl?: string | undefined;
}

const TYPES: Record<string, string> = {
  '/': 'text/html; charset=utf-8',
  '/page.js': 'text/javascript; charset=utf-8',
  '/page.css': 'text/css; charset=utf-8',
};

/** Answers the requests of the page. Its callers make sure that the requests may see the page. */
export class MonitorHandler {
  private readonly api: Api;

  constructor(
    private readonly observer: Observer,
    options: HandlerOptions,
  ) {
    this.api = new Api(observer, options);
  }

  async handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    setSafeHeaders(res);
    try {
      const path = pathOf(req.url);
      if (path.startsWith('/api/')) {
        if (req.method !== 'POST') throw new Refused(405, 'The page asks with POST');
        checkOrigin(req);
        await this.api.answer(path.slice('/api/'.length), await bodyOf(req), res);
      } else {
        sendPage(req, res, path);
      }
    } catch (error) {
      if (error instanceof Refused) sendJson(res, error.status, { error: error.message });
      else if (isUnavailable(error)) sendJson(res, 503, { error: 'Redis cannot be reached' });
      else if (error instanceof TypeError) sendJson(res, 400, { error: error.message });
      else sendJson(res, 500, { error: 'It failed inside' });
    }
  }

  /** Ends the event streams and the connection to Redis. */
  close(): void {
    this.api.close();
    this.observer.close();
  }
}

function isUnavailable(error: unknown): boolean {
  return error instanceof AnynodeError && error.code === 'backplane_unavailable';
}

function sendPage(req: IncomingMessage, res: ServerResponse, path: string): void {
  if (req.method !== 'GET' && req.method !== 'HEAD') throw new Refused(405, 'Only GET');
  const type = TYPES[path];
  if (type === undefined) throw new Refused(404, 'There is no such page');
  // The files of the page are found relative to it, so its own address has to end with a slash.
  const full = pathOf('originalUrl' in req ? String(req.originalUrl) : req.url);
  if (path === '/' && !full.endsWith('/')) {
    res.statusCode = 302;
    res.setHeader('Location', `${full.slice(full.lastIndexOf('/') + 1)}/`);
    res.end();
    return;
  }
  const { html, js, css } = pageAssets();
  sendText(res, 200, type, path === '/' ? html : path === '/page.js' ? js : css);
}
