/** The command's nodes with `--metrics` and `--otlp`, a real Prometheus, and what `deploy/` asks it. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { bare } from '../../demo/bare.js';
import { buildEverythingServer } from '../../demo/everything/server.js';
import { startRoundRobin } from '../../demo/round-robin.js';
import { runStory } from '../../demo/story.js';
import { startCli } from '../integration/support/cli.js';
import { listen, mounted } from '../integration/support/serve.js';
import { requireBinary } from '../rig/binaries.js';
import { freePort } from '../rig/ports.js';
import { startPrometheus } from '../rig/prometheus.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';

const textOf = (name: string): string =>
  readFileSync(new URL(`../../deploy/${name}`, import.meta.url), 'utf8');

/** The queries of the dashboard, with a range that a test can fill. */
function queriesOfDashboard(): string[] {
  const { panels } = JSON.parse(textOf('grafana.json')) as {
    panels: { targets: { expr: string }[] }[];
  };
  const all = panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
  return all.map((expr) => expr.replaceAll('$__rate_interval', '1m'));
}

/** What the alerts look at, without the bounds above which they fire. */
function queriesOfAlerts(): string[] {
  const found = textOf('alerts.yml').matchAll(/^ +expr: (?:>-\n)?([^]*?)\n +(?:for|labels):/gm);
  return [...found].map(([, expr = '']) =>
    expr
      .replaceAll(/\s+/g, ' ')
      .trim()
      .replace(/ (?:>|==) [\d.]+$/, ''),
  );
}

interface Spans {
  resourceSpans: {
    resource: { attributes: { key: string; value: { stringValue: string } }[] };
    scopeSpans: { spans: { name: string; kind: number }[] }[];
  }[];
}

/** Receives spans by OTLP, as JSON. */
async function startCollector() {
  const names: string[] = [];
  const instances = new Set<string>();
  const paths = new Set<string>();
  const server = createServer((req, res) => {
    const chunks: Buffer[] = [];
    req.on('data', (chunk: Buffer) => chunks.push(chunk));
    req.on('end', () => {
      paths.add(req.url ?? '');
      if (req.url === '/v1/traces') {
        const { resourceSpans } = JSON.parse(Buffer.concat(chunks).toString()) as Spans;
        const spans = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((s) => s.spans));
        names.push(...spans.map(({ name }) => name));
        for (const { key, value } of resourceSpans.flatMap(({ resource }) => resource.attributes))
          if (key === 'service.instance.id') instances.add(value.stringValue);
      }
      res.setHeader('content-type', 'application/json').end('{}');
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    names,
    instances,
    paths,
  };
}

it('each query of the dashboard and of the alerts has data after the story and a killed node', async () => {
  execFileSync(requireBinary('promtool'), ['check', 'rules', 'deploy/alerts.yml']);
  const server = bare({
    ...{ server: buildEverythingServer, name: 'behind', eventStore: true, retryMs: 100 },
  });
  const upstream = await listen(mounted(server));
  const collector = await startCollector();
  const ports = [await freePort(), await freePort()];
  const prefix = uniquePrefix();
  const nodes = ports.map((port) =>
    startCli([
      ...['--upstream', upstream, '--redis', redisUrl(), '--prefix', prefix, '--port', '0'],
      ...['--metrics', `${port}`, '--otlp', collector.url, '--json'],
    ]),
  );
  const [urls, ids]: [string[], string[]] = [[], []];
  for (const started of nodes) {
    await started.until('\n');
    const { listening, node } = JSON.parse(started.stdout) as { listening: string; node: string };
    urls.push(listening);
    ids.push(node);
  }
  const prometheus = await startPrometheus(ports);
  onTestFinished(() => prometheus.stop());
  const proxy = await startRoundRobin(urls.map((url) => Number(new URL(url).port)));
  onTestFinished(() => proxy.stop());
  const { ok, steps } = await runStory({ url: `${proxy.url}/mcp`, nodeUrls: urls });
  expect(steps.filter((step) => !step.ok)).toEqual([]);
  expect(ok).toBe(true);
  // Two more scrapes make a rate of what the story has counted.
  const scraped = 'min(count_over_time(up{job="mcp-anynode"}[1m])) > 3';
  await expect.poll(() => prometheus.query(scraped)).toHaveLength(1);
  nodes[1]?.kill('SIGKILL');
  await expect.poll(() => prometheus.query('up{job="mcp-anynode"} == 0')).toHaveLength(1);

  const queries = [...queriesOfDashboard(), ...queriesOfAlerts()];
  expect(queries.length).toBeGreaterThan(25);
  const empty: string[] = [];
  for (const query of queries) {
    if ((await prometheus.query(query)).length === 0) empty.push(query);
  }
  expect(empty).toEqual([]);
  const targets = await prometheus.query('last_over_time(target_info[1m])');
  expect(targets.map(({ metric }) => metric['service_instance_id']).sort()).toEqual(ids.sort());
  // No session's id is a label.
  const labels = await prometheus.query('count by (__name__) ({mcp_session_id!=""})');
  expect(labels).toEqual([]);

  nodes[0]?.kill('SIGTERM');
  await nodes[0]?.ended;
  expect(collector.names).toContain('initialize');
  for (const id of collector.instances) expect(ids).toContain(id);
  expect(collector.instances.size).toBeGreaterThan(0);
  expect([...collector.paths].sort()).toEqual(['/v1/metrics', '/v1/traces']);
});
