/** The page of the monitor, in a real Chromium. */
import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import axe from 'axe-core';
import type { AxeResults } from 'axe-core';
import { Redis } from 'ioredis';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { runStory } from '../../demo/story.js';
import { redisBackplane } from '../../src/index.js';
import { MonitorHandler, type HandlerOptions } from '../../src/monitor/http/handler.js';
import { htmlFile } from '../../src/monitor/html-file.js';
import { serveLocally } from '../../src/monitor/http/local-page.js';
import { observe } from '../../src/operator/index.js';
import type { EventSummary } from '../../src/timeline/event-summary.js';
import { startChromium } from '../rig/chromium.js';
import { startNode as startProcess } from '../rig/processes.js';
import { buildPage } from '../support/page.js';
import { request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import { openSession, rawClient, startNode } from '../integration/support/serve.js';

let browser: Browser;

beforeAll(async () => {
  buildPage();
  browser = await startChromium();
});

afterAll(() => browser.close());

interface Opened {
  page: Page;
  /** The address without a token. */
  origin: string;
  /** What went wrong in the page: errors, violations of the policy, requests to other addresses. */
  wrong: string[];
}

/** Opens the page as the command line serves it, and watches what it does. */
async function open(
  prefix: string,
  { redis = redisUrl(), ...options }: HandlerOptions & { redis?: string } = {},
): Promise<Opened> {
  const observer = observe({ redis, prefix });
  const handler = new MonitorHandler(observer, { prefix, ...options });
  const local = await serveLocally(0, (req, res) => handler.handle(req, res));
  onTestFinished(async () => {
    await local.close();
    handler.close();
  });
  const opened = await newPage();
  await opened.page.goto(local.url);
  expect(opened.page.url()).not.toContain('token');
  return { ...opened, origin: new URL(local.url).origin };
}

async function newPage(): Promise<Omit<Opened, 'origin'>> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  onTestFinished(() => context.close());
  const page = await context.newPage();
  const wrong: string[] = [];
  page.on('pageerror', (error) => wrong.push(String(error)));
  page.on('dialog', (dialog) => {
    wrong.push(`dialog ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on('console', (message) => {
    if (message.type() === 'error') wrong.push(message.text());
  });
  page.on('request', (request) => {
    if (!/^(http:\/\/127\.0\.0\.1:|data:|blob:|file:)/.test(request.url()))
      wrong.push(request.url());
  });
  return { page, wrong };
}

/** Finds what axe-core has against the page, in light and dark and in both widths. */
async function violations(page: Page): Promise<string[]> {
  const found: string[] = [];
  for (const [colorScheme, width] of [
    ['light', 1280],
    ['dark', 390],
  ] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.setViewportSize({ width, height: 900 });
    await page.evaluate(axe.source);
    const { violations: all } = await page.evaluate<AxeResults>('axe.run()');
    found.push(
      ...all.map(
        ({ id, nodes }) => `${colorScheme} ${id}: ${nodes.map(({ html }) => html).join()}`,
      ),
    );
    const overflow = Number(
      await page.evaluate(
        'document.documentElement.scrollWidth - document.documentElement.clientWidth',
      ),
    );
    if (overflow > 0) found.push(`${width}: ${overflow} pixels too wide`);
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  return found;
}

/** Returns an attribute of all elements that match. */
async function attributes(page: Page, selector: string, name: string): Promise<string[]> {
  const [all, key] = [selector, name].map((text) => JSON.stringify(text));
  const found: unknown = await page.evaluate(
    `[...document.querySelectorAll(${all ?? ''})].map((each) => each.getAttribute(${key ?? ''}))`,
  );
  return found as string[];
}

const hashOf = (session: string): string => `#/session/${session.slice(0, 12)}`;

it('shows each step of the story as it happened on two nodes', async () => {
  const prefix = uniquePrefix();
  const env = { REDIS_URL: redisUrl(), PREFIX: prefix };
  const script = new URL('../../demo/node.ts', import.meta.url);
  const nodes = await Promise.all([startProcess({ script, env }), startProcess({ script, env })]);
  onTestFinished(async () => {
    for (const node of nodes) await node.stop();
  });
  const { page, origin, wrong } = await open(prefix, { payloads: true });
  const card = (id: string) => page.locator(`[data-node="${id}"]`);
  await page.locator('.card').nth(1).waitFor();
  const [first = '', second = ''] = await attributes(page, '.card', 'data-node');
  await expect.poll(() => card(first).getAttribute('data-state')).toBe('alive');
  expect(await violations(page)).toEqual([]);

  const urls = nodes.map(({ url }) => `${url}/mcp`);
  const { steps } = await runStory({
    url: urls[0] ?? '',
    nodeUrls: urls,
    before: async (step, session = '') => {
      if (step.startsWith('tools')) await page.goto(`${origin}/${hashOf(session)}`);
      if (!step.startsWith('DELETE')) return;
      await lookAtStory();
    },
  });
  const broken = steps.filter((step) => !step.ok);
  expect(broken).toEqual([]);
  // The page has looked on while the session ended.
  await page.locator('.facts').getByText('ended').waitFor();
  expect(wrong).toEqual([]);

  async function lookAtStory(): Promise<void> {
    const cancelled = page.locator('.bar.main[data-outcome="cancelled"]');
    await cancelled.waitFor();
    await page.getByRole('button', { name: 'Fit' }).click();
    // From its first event to its last, the session is in view. It stays so when the window gets another size.
    await page.setViewportSize({ width: 1000, height: 900 });
    const outside = () => page.evaluate<number[]>(OUTSIDE);
    await expect.poll(outside).toEqual([0, 0]);
    await page.setViewportSize({ width: 1280, height: 900 });
    await expect.poll(outside).toEqual([0, 0]);
    const lanes = await page.locator('.names [data-lane]').allTextContents();
    expect(lanes.map((name) => name.replace('node ', ''))).toEqual(
      expect.arrayContaining(['client', first, second, 'handler']),
    );
    const labels = async () => {
      const all = await attributes(page, '.bar.main', 'aria-label');
      return all.map((label) => label.split(' #')[0]);
    };
    await expect
      .poll(labels)
      .toEqual(
        expect.arrayContaining([
          ...['initialize', 'tools/list', 'resources/list', 'prompts/list', 'test_simple_text'],
          ...['announce', 'resources/subscribe', 'touch', 'test_elicitation', 'test_sampling'],
          ...['count', 'count'],
        ]),
      );
    // Both questions are inside their calls, and a way leads from the client through the other node to the one that asked.
    const questions = page.locator('.bar.question.inner[data-outcome="ok"]');
    expect(await questions.count()).toBe(2);
    const from = await attributes(page, '.hops .question', 'data-from');
    const to = await attributes(page, '.hops .question', 'data-to');
    const ways = from.map((name, at) => `${name}>${to[at] ?? ''}`);
    expect(ways).toEqual(expect.arrayContaining([`${first}>${second}`, `${second}>${first}`]));
    // The call that was cut, and resumed on the other node.
    await page.locator('.marks .mark.resumed').first().waitFor();
    expect(await page.locator('.marks .mark.cut').count()).toBeGreaterThan(0);
    expect(await page.locator('.marks .mark.waits').count()).toBeGreaterThan(0);
    expect(await page.locator('.stretches .get').count()).toBeGreaterThan(0);
    // Each of them says what it was.
    await questions.first().click();
    const panel = page.getByRole('complementary', { name: 'Details' });
    await panel.getByText('client answered to').waitFor();
    expect(await panel.locator('.json').first().textContent()).toContain('"jsonrpc"');
    await cancelled.click();
    await panel.getByText('The client took it back after').waitFor();
    // With the keyboard, too.
    await page.locator('.lanes').focus();
    await page.keyboard.press('Home');
    await panel.getByRole('heading', { name: 'session created' }).waitFor();
    await page.keyboard.press('ArrowRight');
    await panel.getByRole('heading', { name: 'initialize #0' }).waitFor();
    // In a narrow window the details are a sheet at the bottom, and what was selected stays above it.
    await page.setViewportSize({ width: 390, height: 844 });
    await panel.getByRole('button', { name: 'Close' }).waitFor();
    const sheet = () => page.evaluate<{ bottom: number; covers: boolean }>(SHEET);
    await expect.poll(sheet).toEqual({ bottom: 844, covers: false });
    await page.setViewportSize({ width: 1280, height: 900 });
    // The scrubber goes back to the moment before the subscription.
    expect(await panel.locator('.state-at').textContent()).toContain('test://watched-resource');
    await page.getByRole('slider', { name: 'Moment' }).fill('12');
    await page.locator('.says').getByText('At that time: ').waitFor();
    await panel.getByText('As it was at').waitFor();
    await expect
      .poll(() => panel.locator('.state-at').textContent())
      .not.toContain('test://watched-resource');
    expect(await violations(page)).toEqual([]);
  }
});

it('shows a node die while the page looks, and why its call failed', async () => {
  const prefix = uniquePrefix();
  const script = new URL('../../demo/node.ts', import.meta.url);
  const env = { REDIS_URL: redisUrl(), PREFIX: prefix, LEASE_MS: '2000' };
  const doomed = await startProcess({ script, env });
  onTestFinished(() => doomed.stop());
  const backplane = redisBackplane({ redis: redisUrl(), prefix });
  const other = await startNode({ backplane, leaseMs: 2000 });
  const { page, origin, wrong } = await open(prefix);
  const { client, sessionId } = await openSession(`${doomed.url}/mcp`);
  await page.locator(`[data-node="${doomed.nodeId}"][data-state="alive"]`).waitFor();
  const call = { name: 'count', arguments: { to: 10_000, everyMs: 20 } };
  const reading = await client.post(`${doomed.url}/mcp`, request(7, 'tools/call', call));
  const first = await reading.sse.next();
  doomed.kill('SIGKILL');
  await page.locator(`[data-node="${doomed.nodeId}"][data-state="died"]`).waitFor();
  await page.goto(`${origin}/${hashOf(sessionId)}`);
  // The log does not tell yet that the node is dead.
  await page.locator('.bar.main.stranded[data-outcome="pending"]').waitFor();
  await page.locator('.names .dead').getByText(doomed.nodeId).waitFor();
  await page
    .locator('.failures')
    .getByText(`Node ${doomed.nodeId}, which ran it, is dead`)
    .waitFor();
  // The client comes back to the other node, which ends the call.
  await client.get(other.url, { lastEventId: first.id ?? '' });
  const lost = page.locator('.bar.main[data-outcome="lost"]');
  await lost.waitFor();
  await page.locator('.failures').getByText(`Node ${doomed.nodeId}, which ran it, died`).waitFor();
  await page.locator('.marks .mark.died').first().waitFor();
  expect(wrong).toEqual([]);
});

it('says that it is interrupted while Redis is away, and goes on when Redis is back', async () => {
  const { hostname, port, pathname } = new URL(redisUrl());
  const proxy = await startTcpProxy({ target: { host: hostname, port: Number(port) } });
  onTestFinished(() => proxy.stop());
  const prefix = uniquePrefix();
  const backplane = redisBackplane({ redis: redisUrl(), prefix });
  const { url } = await startNode({ backplane });
  const { client, sessionId } = await openSession(url);
  const { page, origin } = await open(prefix, {
    redis: `redis://127.0.0.1:${proxy.port}${pathname}`,
  });
  await page.goto(`${origin}/${hashOf(sessionId)}`);
  const condition = page.locator('.condition');
  await condition.getByText('Live').waitFor();
  const alert = page.getByRole('alert').getByText('Redis cannot be reached, since ');
  proxy.refuse();
  proxy.cut();
  await condition.getByText('Interrupted').waitFor();
  await alert.waitFor();
  // What is old can still be read.
  await page.locator('.bar.main').first().waitFor();
  await client.request(url, 'ping');
  proxy.accept();
  await condition.getByText('Live').waitFor();
  await alert.waitFor({ state: 'detached' });
  await page.locator('.event .what').getByText('ping').waitFor();
});

it('finds its way in 50,000 sessions', async () => {
  const prefix = uniquePrefix();
  const redis = new Redis(redisUrl());
  onTestFinished(async () => {
    await redis.flushdb();
    redis.disconnect();
  });
  const idOf = (n: number): string => `${n.toString(16).padStart(8, '0')}-seeded`;
  for (let from = 0; from < 50_000; from += 5000) {
    const pipeline = redis.pipeline();
    for (let n = from; n < from + 5000; n += 1) {
      const init = JSON.stringify({
        ...{ protocolVersion: '2025-11-25', capabilities: {} },
        clientInfo: { name: n % 1000 === 7 ? 'rare' : 'common', version: `1.${n % 10}` },
      });
      const [at, on] = [String(1.7e12 + n), '1'];
      pipeline.hset(`${prefix}:{${idOf(n)}}`, {
        ...{ v: '1', rev: '1.n:1.', init, pv: '2025-11-25', pr: 'anonymous', at, seen: at, on },
      });
      pipeline.zadd(`${prefix}:sessions`, 0, idOf(n));
    }
    await pipeline.exec();
  }
  const { page, origin, wrong } = await open(prefix);
  await page.goto(`${origin}/#/sessions`);
  const rows = page.locator('tbody tr');
  const summary = page.locator('.summary');
  const begun = performance.now();
  await rows.nth(49).waitFor();
  expect(performance.now() - begun).toBeLessThan(10_000);
  await summary.getByText('of 50,000 sessions').waitFor();
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByText('Page 2').waitFor();
  await expect.poll(() => rows.first().textContent()).toContain(idOf(50));
  await page.getByLabel('Id', { exact: true }).fill(idOf(43_210).slice(0, 8));
  await expect.poll(() => rows.count()).toBe(1);
  await page.getByLabel('Id', { exact: true }).fill('');
  await page.getByLabel('Client').fill('rare');
  await page.getByRole('button', { name: 'created' }).click();
  await summary.getByText('50 match').waitFor();
  // The latest come first.
  expect(await page.locator('[aria-sort]').getAttribute('aria-sort')).toBe('descending');
  await expect.poll(() => rows.first().textContent()).toContain(idOf(49_007).slice(0, 8));
  expect(await violations(page)).toEqual([]);
  expect(wrong).toEqual([]);
});

it('stays fluid with 10,000 events, of which it draws only those that are seen', async () => {
  const [a, b] = ['aaaaaaaaaa', 'bbbbbbbbbb'];
  const events: EventSummary[] = Array.from({ length: 10_000 }, (_, index) => {
    const [call, isAnswer] = [index >> 1, index % 2 === 1];
    const node = call % 3 === 0 ? b : a;
    return {
      ...{ id: `${1.7e12 + index * 40}-0`, at: 1.7e12 + index * 40 + (index % 7) },
      ...{ stream: `${node}${call}`, nodeId: node, requestId: call },
      ...(isAnswer
        ? { type: 'message.sent', direction: 'out', kind: 'result', shownBy: node }
        : { type: 'message.received', direction: 'in', kind: 'request', method: 'ping' }),
    };
  });
  const folder = await mkdtemp(join(tmpdir(), 'anynode-page-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, 'session.html');
  await writeFile(file, htmlFile({ sessions: [{ id: 'many', info: undefined, events }] }));
  const { page, wrong } = await newPage();
  // A file of its own, without a server and without Redis.
  await page.goto(`file://${file}`);
  await page.locator('.bar').first().waitFor();
  const { frames, drawn } = await page.evaluate<{ frames: number[]; drawn: number }>(SCROLL);
  expect(drawn).toBeLessThan(1500);
  expect(drawn).toBeGreaterThan(10);
  // On a free machine it is under 20 ms. All 10,000 in the page would take more than a second.
  expect(frames[30]).toBeLessThan(200);
  expect(await page.locator('.event').count()).toBeLessThan(60);
  await page.getByRole('slider', { name: 'Moment' }).fill('5000');
  await page.getByText('As it was at').waitFor();
  expect(wrong).toEqual([]);
});

/** Returns how many pixels of the session are left of what is seen of the lanes, and how many right of it. */
const OUTSIDE = `(() => {
  const { scrollLeft, scrollWidth, clientWidth } = document.querySelector('.lanes');
  return [scrollLeft, scrollWidth - scrollLeft - clientWidth];
})()`;

/** Returns where the sheet ends, and whether it covers the bar that is selected. */
const SHEET = `(() => {
  const sheet = document.querySelector('.sheet').getBoundingClientRect();
  const bar = document.querySelector('.lanes .selected:not(.line, .handler)').getBoundingClientRect();
  return { bottom: sheet.bottom, covers: bar.bottom > sheet.top };
})()`;

/** Scrolls through the lanes in 60 steps. It returns how long each took, sorted, and how many bars were in the page at most. */
const SCROLL = `(async () => {
  const lanes = document.querySelector('.lanes');
  const frames = [];
  let drawn = 0;
  for (let step = 0; step < 60; step += 1) {
    const begun = performance.now();
    lanes.scrollLeft = ((lanes.scrollWidth - lanes.clientWidth) * step) / 60;
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    frames.push(performance.now() - begun);
    drawn = Math.max(drawn, document.querySelectorAll('.bar').length);
  }
  return { frames: frames.sort((x, y) => x - y), drawn };
})()`;

// Clients write names, tool names, arguments, URIs and log texts.
it('runs nothing that a client or a server has written', async () => {
  const evil = `<img src=x onerror="alert(1)"><script>alert(2)</script>javascript:alert(3)"'\`\${alert(4)}`;
  const prefix = uniquePrefix();
  const node = await startNode({
    backplane: redisBackplane({ redis: redisUrl(), prefix }),
    principal: () => evil,
    tools: { [evil]: () => ({ content: [{ type: 'text', text: evil }], isError: true }) },
  });
  await openSession(node.url);
  const client = rawClient();
  await client.initialize(node.url, { clientInfo: { name: evil, version: evil } });
  const session = client.sessionId ?? '';
  const send = (method: string, params: Record<string, unknown>) =>
    client.request(node.url, method, params).catch(() => undefined);
  await send('tools/call', {
    name: evil,
    arguments: { [evil]: evil },
    _meta: { traceparent: evil },
  });
  const trace = '0af7651916cd43dd8448eb211c80319c';
  await send('ping', { _meta: { traceparent: `00-${trace}-b7ad6b7169203331-01` } });
  await send('resources/subscribe', { uri: evil });
  await send('prompts/get', { name: evil });
  await send(evil, {});
  await client.notify(node.url, 'notifications/cancelled', { requestId: evil, reason: evil });
  await node.mcp.session(session).notify({
    method: 'notifications/message',
    params: { level: 'error', logger: evil, data: evil },
  });
  const traceUrl = 'https://tempo.example/trace/{traceId}';
  const { page, origin, wrong } = await open(prefix, { payloads: true, traceUrl });
  await page.goto(`${origin}/#/sessions`);
  await page.locator('tbody tr').nth(1).waitFor();
  expect(await page.locator('tbody').textContent()).toContain('<img src=x');
  await page.goto(`${origin}/${hashOf(session)}`);
  await page.locator('.bar.main').nth(3).waitFor();
  for (const row of await page.locator('.event').all()) {
    await row.click();
    await page.locator('.panel').getByText('event', { exact: true }).first().waitFor();
  }
  expect(await page.locator('.panel').textContent()).toContain('<img src=x');
  await page.locator('.event').getByText('ping #').first().click();
  const link = page.getByRole('link', { name: trace });
  expect(await link.getAttribute('href')).toBe(`https://tempo.example/trace/${trace}`);
  const downloads: string[] = [];
  for (const name of ['JSON Lines', 'Mermaid', 'HTML file']) {
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name }).click(),
    ]);
    downloads.push(await download.path());
  }
  const exported = await newPage();
  const copy = `${downloads[2] ?? ''}.html`;
  await copyFile(downloads[2] ?? '', copy);
  await exported.page.goto(`file://${copy}`);
  await exported.page.locator('.bar.main').nth(3).waitFor();
  expect(await exported.page.locator('.events').textContent()).toContain('<img src=x');
  expect(await page.locator('img, script:not([src])').count()).toBe(0);
  expect([...wrong, ...exported.wrong]).toEqual([]);
});
