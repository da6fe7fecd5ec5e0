/** The server of the page: who may see what, and what a request may do. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import express from 'express';
import express4 from 'express4';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { redisBackplane } from '../../src/index.js';
import type { MonitorOptions } from '../../src/monitor/index.js';
import { monitor } from '../../src/monitor/index.js';
import { MonitorHandler } from '../../src/monitor/http/handler.js';
import { htmlFile } from '../../src/monitor/html-file.js';
import { serveLocally } from '../../src/monitor/http/local-page.js';
import { pageAssets } from '../../src/monitor/page-assets.js';
import { readExport } from '../../src/monitor/exports.js';
import { observe } from '../../src/operator/index.js';
import { timeline } from '../../src/timeline/timeline.js';
import type { ClusterView, OfflineData, TailEvents } from '../../src/monitor/wire.js';
import { activeResources, leftBehind } from '../support/leaks.js';
import { buildPage, buildPageForCommands } from '../support/page.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { cli, startCli } from './support/cli.js';
import { listen, startSession } from './support/serve.js';

beforeAll(buildPage);

const SECRET = 'hunter2-payload';

/** A session with a call whose arguments are secret, and a monitor at `/admin/mcp`. */
async function scene(more: Partial<MonitorOptions> = {}, app = express()) {
  const prefix = uniquePrefix();
  const redis = redisUrl();
  const node = await startSession({ backplane: redisBackplane({ redis, prefix }) });
  const params = { name: 'echo', arguments: { n: SECRET } };
  await node.client.request(node.url, 'tools/call', params);
  const page = monitor({ redis, prefix, authorize: () => true, ...more });
  onTestFinished(() => page.close());
  app.use('/admin/mcp', page);
  const base = (await listen(app)).replace('/mcp', '/admin/mcp');
  const call = (name: string, body: unknown, headers: Record<string, string> = {}) =>
    fetch(`${base}/api/${name}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
  return { ...node, base, call, page, prefix, session: node.sessionId };
}

/** Reads the values of an event stream, each once. */
function readerOf<T>(response: Response) {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return {
    /** Reads up to the first value of which `enough` says so. */
    async until(enough: (value: T) => boolean): Promise<T> {
      for (;;) {
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          const part = text.slice(0, end);
          text = text.slice(end + 2);
          const value = part.startsWith('data: ') && (JSON.parse(part.slice(6)) as T);
          if (value !== false && enough(value)) return value;
        }
        const chunk = await reader?.read();
        if (chunk?.value === undefined) throw new Error(`It ended after ${text}`);
        text += chunk.value;
      }
    },
    stop: () => reader?.cancel(),
  };
}

async function firstOf<T>(response: Response, enough: (value: T) => boolean): Promise<T> {
  const reader = readerOf<T>(response);
  const value = await reader.until(enough);
  await reader.stop();
  return value;
}

const tailOf = async (call: (name: string, body: unknown) => Promise<Response>, session: string) =>
  firstOf<TailEvents>(await call('tail', { session }), ({ live }) => live);

describe('the page', () => {
  it('cannot be mounted without saying who may see it', () => {
    const redis = redisUrl();
    const options = { redis } as MonitorOptions;
    expect(() => monitor(options)).toThrow('`monitor()` needs `authorize');
  });

  it('links traces at an address of http or https only', async () => {
    const [redis, authorize] = [redisUrl(), () => true];
    for (const traceUrl of ['javascript:alert({traceId})', 'https://x.example/', '{traceId}']) {
      expect(() => monitor({ redis, authorize, traceUrl })).toThrow('`traceUrl` has to be an http');
    }
    const traceUrl = 'https://tempo.example/trace/{traceId}';
    const { call } = await scene({ traceUrl });
    expect(await (await call('hello', {})).json()).toMatchObject({ traceUrl });
  });

  it.each([
    ['Express 5', express],
    ['Express 4', express4],
  ])('is served to those only whom authorize lets in, by %s', async (_, make) => {
    const authorize = (req: express.Request): boolean => req.headers.authorization === 'Bearer ops';
    const { base, call } = await scene({ authorize }, make());
    expect((await fetch(base)).status).toBe(403);
    expect((await call('hello', {})).status).toBe(403);
    const headers = { authorization: 'Bearer ops' };
    expect((await call('hello', {}, headers)).status).toBe(200);
    const response = await fetch(base, { headers });
    expect(response.url).toBe(`${base}/`);
    expect(await response.text()).toContain('page.js');
    for (const file of ['page.js', 'page.css']) {
      expect((await fetch(`${base}/${file}`, { headers })).status).toBe(200);
    }
    expect((await fetch(`${base}/page.map`, { headers })).status).toBe(404);
    const { headers: given } = response;
    expect(given.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'self';/);
    expect(given.get('content-security-policy')).not.toContain('unsafe');
    expect(given.get('cache-control')).toBe('no-store');
    expect(given.get('referrer-policy')).toBe('no-referrer');
    expect(given.get('x-frame-options')).toBe('DENY');
  });

  it('is for nobody while authorize fails', async () => {
    const app = express();
    const { base } = await scene(
      { authorize: () => Promise.reject(new Error('no directory')) },
      app,
    );
    const seen: unknown[] = [];
    const onError: express.ErrorRequestHandler = (...[error, , res]) => {
      seen.push(error);
      res.status(500).end();
    };
    // Express tells error handlers by their four parameters.
    Object.defineProperty(onError, 'length', { value: 4 });
    app.use(onError);
    expect((await fetch(base)).status).toBe(500);
    expect(seen).toHaveLength(1);
  });

  it('takes less than 100 KB compressed, and asks no other address', () => {
    const { html, js, css } = pageAssets();
    const size = [html, js, css].reduce((sum, text) => sum + gzipSync(text).length, 0);
    expect(size).toBeLessThan(100_000);
    // The name of a namespace is no address.
    const addresses = [html, js, css].join('').match(/https?:\/\/[^\s"'`)]+/g) ?? [];
    expect(addresses.filter((address) => !address.startsWith('http://www.w3.org/'))).toEqual([]);
  });
});

describe('a call of the page', () => {
  it('from another site is refused, and ends no session unless the page may do that', async () => {
    const { call, session, base } = await scene();
    const { host } = new URL(base);
    const body = { session };
    expect((await call('kill', body, { origin: `http://${host}` })).status).toBe(403);
    const able = await scene({ allowKill: true });
    const own = { origin: new URL(able.base).origin };
    for (const headers of [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { ...own, 'sec-fetch-site': 'cross-site' },
      { 'content-type': 'text/plain' },
    ] as Record<string, string>[]) {
      const { status } = await able.call('kill', { session: able.session }, headers);
      expect([403, 415]).toContain(status);
    }
    expect((await able.call('session', { session: able.session })).status).toBe(200);
    expect((await able.call('kill', { session: able.session }, own)).status).toBe(200);
    expect(await (await able.call('session', { session: able.session })).json()).toBeNull();
    expect((await able.call('kill', { session: able.session }, own)).status).toBe(404);
  });

  it('that makes no sense is refused with a text', async () => {
    const { call, session, base } = await scene();
    const cases: [string, unknown, number][] = [
      ['nope', {}, 404],
      ['session', {}, 400],
      ['session', { session: 'a{b}' }, 400],
      ['session', { session: 'x'.repeat(300) }, 400],
      ['session', { session: { $gt: '' } }, 400],
      ['tail', { session, after: 'x' }, 400],
      ['tail', { session: 'none' }, 404],
      ['state', { session, at: '1' }, 400],
      ['export', { session, format: 'exe' }, 400],
      ['sessions', { limit: 1e9 }, 400],
      ['sessions', { sort: 'constructor' }, 400],
      ['sessions', [], 400],
      ['sessions', '{', 400],
      ['sessions', JSON.stringify({ client: 'x'.repeat(9000) }), 413],
    ];
    for (const [name, body, status] of cases) {
      const response = await call(name, body);
      expect([name, body, response.status]).toEqual([name, body, status]);
      expect(await response.json()).toEqual({ error: expect.any(String) as string });
    }
    expect((await fetch(`${base}/api/sessions`)).status).toBe(405);
  });

  it('may come behind a body parser', async () => {
    const app = express();
    app.use(express.json());
    const { call, session } = await scene({}, app);
    expect((await call('session', { session })).status).toBe(200);
  });

  it('shows no content of messages by default, in no format', async () => {
    const { call, session } = await scene();
    const { events } = await tailOf(call, session);
    expect(events.map(({ name }) => name)).toContain('echo');
    expect(JSON.stringify(events)).not.toContain(SECRET);
    for (const format of ['jsonl', 'mermaid', 'html']) {
      const text = await (await call('export', { session, format })).text();
      expect(text).toContain('echo');
      expect(text).not.toContain(SECRET);
    }
  });

  it('shows with payloads what redact leaves of a message, and no more', async () => {
    const redact: MonitorOptions['redact'] = (message) =>
      'method' in message && message.method === 'tools/call'
        ? { ...message, params: { name: 'echo', arguments: '[left out]' } }
        : 'result' in message
          ? undefined
          : message;
    const { call, session } = await scene({ payloads: true, redact });
    const { events } = await tailOf(call, session);
    const texts = [JSON.stringify(events)];
    for (const format of ['jsonl', 'mermaid', 'html']) {
      texts.push(await (await call('export', { session, format })).text());
    }
    expect(texts[0]).toContain('[left out]');
    for (const text of texts) expect(text).not.toContain(SECRET);
    const open = await scene({ payloads: true });
    expect(JSON.stringify(await tailOf(open.call, open.session))).toContain(SECRET);
  });

  it('tells the state of the session at an event', async () => {
    const { call, session } = await scene();
    const { events } = await tailOf(call, session);
    const at = events.find(({ method }) => method === 'tools/call')?.id;
    const response = await call('state', { session, at });
    expect(await response.json()).toMatchObject({
      ...{ state: 'active', complete: true },
      openRequests: [{ method: 'tools/call' }],
    });
  });
});

describe('an event stream of the page', () => {
  it('tells of the cluster again and again, and of a session as it goes on', async () => {
    const { call, session, client, url } = await scene();
    const looks: number[] = [];
    await firstOf<{ at: number; nodes: unknown[]; redis: unknown[] }>(
      await call('cluster', {}),
      ({ at, nodes, redis }) => {
        if (nodes.length === 1 && redis.length === 1) looks.push(at);
        return new Set(looks).size > 1;
      },
    );
    const response = await call('tail', { session });
    const seen = firstOf<TailEvents>(response, ({ events }) =>
      events.some(({ kind, method }) => kind === 'request' && method === 'ping'),
    );
    await client.request(url, 'ping');
    await seen;
    // A page that has seen all events before the end is told the end, too.
    const { events } = await tailOf(call, session);
    const rest = call('tail', { session, after: events.at(-1)?.id });
    const ended = firstOf<TailEvents>(await rest, ({ events: [event] }) => {
      return event?.type === 'session.closed';
    });
    await client.delete(url);
    await ended;
  });

  // The stream of a session waited for Redis without a word, so the page went on to say that it was live.
  it('says that Redis is away, and goes on with what comes when Redis is back', async () => {
    const { hostname, port, pathname } = new URL(redisUrl());
    const proxy = await startTcpProxy({ target: { host: hostname, port: Number(port) } });
    onTestFinished(() => proxy.stop());
    const redis = `redis://127.0.0.1:${proxy.port}${pathname}`;
    const { call, session, client, url } = await scene({ redis, commandTimeoutMs: 1000 });
    const reader = readerOf<TailEvents>(await call('tail', { session }));
    const cluster = readerOf<ClusterView>(await call('cluster', {}));
    await reader.until(({ live }) => live);
    const { at } = await cluster.until(({ nodes }) => nodes.length === 1);
    proxy.refuse();
    proxy.cut();
    expect(await reader.until(({ trouble }) => trouble !== undefined)).toEqual({
      ...{ events: [], live: false, trouble: 'Redis cannot be reached' },
    });
    // The figures stay those of the last look, and no event is told twice.
    const old = await cluster.until(({ trouble }) => trouble !== undefined);
    expect(old).toMatchObject({ trouble: 'Redis cannot be reached', latest: [] });
    expect(old.nodes).toHaveLength(1);
    expect(old.at).toBeLessThan(at + 5000);
    await client.request(url, 'ping');
    proxy.accept();
    const back = await reader.until(({ live }) => live);
    expect(back.trouble).toBeUndefined();
    expect(back.events.map(({ kind }) => kind)).toEqual(['request', 'result']);
    await cluster.until(({ trouble }) => trouble === undefined);
    await Promise.all([reader.stop(), cluster.stop()]);
  });

  it('is for so many pages at a time, and ends with the monitor, which leaves nothing behind', async () => {
    const before = activeResources();
    const redis = redisUrl();
    const page = monitor({ redis, prefix: uniquePrefix(), authorize: () => true, maxWatchers: 2 });
    const app = express();
    app.use('/admin', page);
    const server = app.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const watch = () =>
      fetch(`http://127.0.0.1:${port}/admin/api/cluster`, {
        ...{ method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' },
      });
    const watching = [await watch(), await watch()];
    const third = await watch();
    expect([third.status, await third.json()]).toEqual([503, { error: '2 pages watch already' }]);
    const ends = watching.map((response) => response.text());
    page.close();
    await Promise.all(ends);
    server.close();
    server.closeAllConnections();
    expect(await leftBehind(before)).toEqual({});
  });
});

describe('the page on this machine', () => {
  async function local() {
    const page = await serveLocally(0, (_, res) => {
      res.end('seen');
      return Promise.resolve();
    });
    onTestFinished(() => page.close());
    return {
      url: new URL(page.url),
      get: (to: string, headers = {}) => fetch(to, { headers, redirect: 'manual' }),
    };
  }

  it('gives its cookie for the token, once, and takes the token out of the address', async () => {
    const { url, get } = await local();
    expect(url.hostname).toBe('127.0.0.1');
    expect((await get(url.origin)).status).toBe(403);
    expect((await get(`${url.origin}/?token=${'x'.repeat(32)}`)).status).toBe(403);
    const first = await get(url.href);
    expect([first.status, first.headers.get('location')]).toEqual([303, '/']);
    const cookie = first.headers.get('set-cookie') ?? '';
    expect(cookie).toMatch(/^anynode_\d+=[\w-]{32}; HttpOnly; SameSite=Strict; Path=\/$/);
    expect(cookie).not.toContain(url.searchParams.get('token'));
    expect((await get(url.href)).status).toBe(403);
    const [pair = ''] = cookie.split(';');
    expect(await (await get(url.origin, { cookie: pair })).text()).toBe('seen');
    expect((await get(url.origin, { cookie: `${pair}x` })).status).toBe(403);
  });

  // DNS rebinding: a page of another site whose name has become 127.0.0.1.
  it('is not served under another name', async () => {
    const { url } = await local();
    const { request } = await import('node:http');
    const status = await new Promise((resolve, reject) => {
      const asked = request(url, { headers: { host: `evil.example:${url.port}` } }, (res) => {
        res.resume();
        resolve(res.statusCode);
      });
      asked.once('error', reject).end();
    });
    expect(status).toBe(403);
  });

  it('is the same page as the mounted one', async () => {
    const handler = new MonitorHandler(observe({ redis: redisUrl(), prefix: uniquePrefix() }), {});
    onTestFinished(() => handler.close());
    const local = await serveLocally(0, (req, res) => handler.handle(req, res));
    onTestFinished(() => local.close());
    const { url } = local;
    const first = await fetch(url, { redirect: 'manual' });
    const cookie = first.headers.get('set-cookie')?.split(';')[0] ?? '';
    const page = await fetch(new URL('/', url), { headers: { cookie } });
    expect(await page.text()).toBe(pageAssets().html);
  });
});

describe('an export of the page', () => {
  it('as JSON Lines is read again as the same picture, with messages and without', async () => {
    for (const payloads of [true, false]) {
      const { call, session } = await scene({ payloads });
      const text = await (await call('export', { session, format: 'jsonl' })).text();
      const [read] = readExport(text).sessions;
      expect(read?.info?.clientInfo.name).toBeDefined();
      const { bars } = timeline(read?.events ?? []);
      const { events } = await tailOf(call, session);
      expect(bars).toEqual(timeline(events).bars);
      expect(bars.map(({ label, outcome }) => [label, outcome])).toContainEqual(['echo', 'ok']);
    }
  });

  it('is shown by the command `view`, without Redis', async () => {
    const { session, prefix } = await scene();
    const folder = await mkdtemp(join(tmpdir(), 'anynode-view-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const file = join(folder, 'session.jsonl');
    const from = ['--redis', redisUrl(), '--prefix', prefix];
    const exported = await cli(['export', session, '--output', file, ...from]);
    expect(exported.stderr).toBe(`mcp-anynode: 1 session, 7 events in ${file}\n`);
    buildPageForCommands();
    const viewing = startCli(['view', file, '--json']);
    await viewing.until('\n');
    const { url } = JSON.parse(viewing.stdout) as { url: string };
    const opened = await fetch(url, { redirect: 'manual' });
    expect(opened.status).toBe(303);
    const cookie = opened.headers.get('set-cookie')?.split(';')[0] ?? '';
    const get = (path: string) => fetch(new URL(path, url), { headers: { cookie } });
    const page = await (await get('/')).text();
    const [, data = ''] =
      /<script type="application\/json" id="data">(.*)<\/script>/.exec(page) ?? [];
    const { sessions } = JSON.parse(data) as OfflineData;
    expect(sessions).toMatchObject([{ id: session, info: { id: session } }]);
    const methods = sessions[0]?.events.flatMap(({ method }) => method ?? []);
    expect(methods).toEqual(['initialize', 'notifications/initialized', 'tools/call']);
    expect((await get('/other')).status).toBe(404);
    // The address works once, and nothing is shown without its cookie.
    for (const again of [url, new URL('/', url)]) expect((await fetch(again)).status).toBe(403);
    viewing.kill('SIGINT');
    expect(await viewing.ended).toMatchObject({ code: 130 });
  });

  it('that is none is refused with the number of the line', () => {
    for (const text of ['x', '{}', '{"v":1,"session":"s","id":1}', '{"v":2,"session":"s"}']) {
      expect(() => readExport(`\n${text}\n`)).toThrow('line 2');
    }
  });

  it('as HTML runs nothing but the page, whatever the messages say', () => {
    const evil = '</script><script>alert(1)</script><!--<script>';
    const html = htmlFile({
      sessions: [
        { id: evil, info: undefined, events: [{ ...EVENT, name: evil, message: { evil } }] },
      ],
    });
    expect(html.match(/<script/g)).toHaveLength(
      2 + (pageAssets().js.match(/<script/g) ?? []).length,
    );
    expect(html.match(/<\/script/g)).toHaveLength(2);
    expect(html).toMatch(/script-src 'sha256-[\w+/]{43}='/);
  });
});

const EVENT = {
  ...{ id: '1-0', at: 1, type: 'message.received' as const, direction: 'in' as const },
  ...{ kind: 'request' as const, method: 'tools/call', requestId: 1 },
};
