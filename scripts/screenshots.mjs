// Takes the pictures of the page for docs/: node --import tsx scripts/screenshots.mjs [folder for all of them]
//
// It starts a Redis and three nodes, plays the demo's story and some traffic, kills a node in the middle of a call, and opens the page
// in Chromium.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { TextDecoderStream } from 'node:stream/web';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { runStory } from '../demo/story.ts';
import { observe } from '../src/operator/index.ts';
import { MonitorHandler } from '../src/monitor/http/handler.ts';
import { serveLocally } from '../src/monitor/http/local-page.ts';
import { startChromium } from '../test/rig/chromium.ts';
import { startNode } from '../test/rig/processes.ts';
import { startRedis } from '../test/rig/redis.ts';
import { buildPage } from '../test/support/page.ts';
import { LiveView } from '../src/cli/monitor/live-view.ts';
import { Output } from '../src/cli/print/output.ts';

buildPage();
const docs = fileURLToPath(new URL('../docs/images', import.meta.url));
const folder = process.argv[2] ?? docs;
const isAll = process.argv[2] !== undefined;
mkdirSync(folder, { recursive: true });

const redis = await startRedis();
const script = new URL('../demo/node.ts', import.meta.url);
const start = () => startNode({ script, env: { REDIS_URL: redis.url, LEASE_MS: '2000' } });
const nodes = await Promise.all([start(), start(), start()]);
const browser = await startChromium();
const handler = new MonitorHandler(observe({ redis: redis.url }), { payloads: true });
const observer = observe({ redis: redis.url });
const stdout = Object.create(process.stdout, {
  ...{ isTTY: { value: true }, columns: { value: 132 }, rows: { value: 30 } },
});
const output = new Output({ json: false, stdout, env: {} });
const terminal = new LiveView(
  observer,
  output,
  'redis://localhost:6379  mcp',
  await observer.stats(),
);
// The terminal looks once in a second, as the command does.
let isLooking = true;
const looking = (async () => {
  while (isLooking) {
    await delay(1000);
    await terminal.update(await observer.stats());
  }
})();
const local = await serveLocally(0, (req, res) => handler.handle(req, res));

try {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    deviceScaleFactor: 1,
  });
  const page = await context.newPage();
  page.on('pageerror', (error) => console.error('page:', error));
  page.on(
    'console',
    (message) => message.type() === 'error' && console.error('page:', message.text()),
  );
  await page.goto(local.url);
  const cluster = await context.newPage();
  await cluster.goto(`${new URL(local.url).origin}/#/`);
  const urls = nodes.map(({ url }) => `${url}/mcp`);
  await Promise.all(
    ['editor 2.4.1', 'assistant 1.18.0', 'agent 0.9.3'].map((name, at) => traffic(name, urls[at])),
  );
  await runStory({
    url: urls[0],
    nodeUrls: urls.slice(0, 2),
    before: async (step, sessionId) => {
      if (!step.startsWith('DELETE')) return;
      await shootSession(page, sessionId);
    },
  });
  await shootOthers(page, cluster);
  isLooking = false;
  await looking;
  await shootTerminal(await context.newPage(), terminal.lines(undefined));
} finally {
  isLooking = false;
  observer.close();
  await browser.close();
  await local.close();
  handler.close();
  for (const node of nodes) await node.stop();
  await redis.stop();
}

/** Makes a session that calls tools for a while. */
async function traffic(nameAndVersion, url) {
  const [name, version] = nameAndVersion.split(' ');
  const client = new Client({ name, version });
  await client.connect(new StreamableHTTPClientTransport(new URL(url)));
  void (async () => {
    for (let turn = 0; turn < 2000; turn += 1) {
      const tool = turn % 9 === 4 ? 'test_error_handling' : 'test_simple_text';
      await client.callTool({ name: tool, arguments: {} });
      await delay(60 + 50 * Math.random());
    }
  })().catch(() => undefined);
}

/** Lets a call fail, and lets another one lose its node. Then it takes the pictures of the session. */
async function shootSession(page, sessionId) {
  await page.goto(`${new URL(page.url()).origin}/#/session/${sessionId.slice(0, 12)}`);
  const send = (url, method, body, headers) =>
    globalThis.fetch(url, {
      method,
      headers: {
        'content-type': 'application/json',
        accept: method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream',
        'mcp-session-id': sessionId,
        'mcp-protocol-version': '2025-11-25',
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify({ jsonrpc: '2.0', ...body }) }),
    });
  const call = (id, name, args) => ({
    id,
    method: 'tools/call',
    params: { name, arguments: args },
  });
  const [first, second, third] = nodes.map(({ url }) => `${url}/mcp`);
  await (await send(second, 'POST', call('fails', 'test_error_handling', {}))).text();
  const counting = await send(third, 'POST', call('count', 'count', { to: 1000, everyMs: 150 }));
  const reader = counting.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  while (!/"?4"?[^]*\n\n/.test(text) || text.split('\n\n').length < 5)
    text += (await reader.read()).value;
  nodes[2].kill('SIGKILL');
  const cursor = [...text.matchAll(/^id: (.*)$/gm)].at(-1)[1];
  await delay(2500);
  const resumed = await send(first, 'GET', undefined, { 'last-event-id': cursor });
  await resumed.text();
  await page.locator('.bar.lost').first().waitFor();
  await page.getByRole('button', { name: 'Fit' }).click();
  await delay(800);
  await page.locator('.bar.main.lost').first().click({ force: true });
  await page.mouse.move(1, 1);
  await delay(400);
  await shoot(page, 'session');
}

async function shootOthers(page, cluster) {
  await cluster.bringToFront();
  await shoot(cluster, 'cluster');
  await page.bringToFront();
  await page.goto(`${new URL(page.url()).origin}/#/sessions`);
  await page.waitForSelector('tbody tr');
  await delay(500);
  await shoot(page, 'sessions');
}

/** Draws the lines of the terminal with their colours. */
async function shootTerminal(page, lines) {
  const styles = {
    1: 'font-weight: 700',
    7: 'background: #ddd; color: #111',
    31: 'color: #ff7480',
  };
  const html = lines.map((line) =>
    line
      .replace(/[&<>]/g, (c) => `&#${c.codePointAt(0)};`)
      // eslint-disable-next-line no-control-regex -- colours begin with a control character
      .replace(/\u001b\[(\d+)m/g, (_, code) =>
        code in styles ? `<span style="${styles[code]}">` : '</span>',
      ),
  );
  await page.setContent(
    `<pre style="margin: 0; padding: 14px; width: max-content; background: #11161f; color: #dde3ee; font: 13px/1.4 monospace">${html.join('\n')}</pre>`,
  );
  const file = join(folder, 'monitor-terminal.png');
  await page.locator('pre').screenshot({ path: file });
  console.log(file);
}

async function shoot(page, name) {
  const variants = isAll
    ? [
        ['light', 1280, 900],
        ['dark', 1280, 900],
        ['light', 390, 844],
        ['dark', 390, 844],
      ]
    : [
        ['light', 1280, 900],
        ...(name === 'session'
          ? [
              ['dark', 1280, 900],
              ['light', 390, 844],
            ]
          : []),
      ];
  for (const [colorScheme, width, height] of variants) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height });
    // The click that selected a bar may have scrolled to it.
    await page.evaluate('scrollTo(0, 0)');
    await delay(500);
    const file = join(folder, `monitor-${name}-${colorScheme}${width < 500 ? '-narrow' : ''}.png`);
    // The details of what is selected are a sheet over the window, which a picture of the whole page would put anywhere.
    await page.screenshot({ path: file, fullPage: width < 500 && name !== 'session' });
    console.log(file);
  }
  await page.setViewportSize({ width: 1280, height: 800 });
}
