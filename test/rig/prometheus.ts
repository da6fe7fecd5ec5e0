import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requireBinary } from './binaries.js';
import { startOnPort, startService } from './service.js';

export interface Prometheus {
  /** Evaluates a query at the present time, and returns its samples. */
  query(expression: string): Promise<Sample[]>;
  stop(): Promise<void>;
}

export interface Sample {
  metric: Record<string, string>;
  /** The time, and the value as text. */
  value: [number, string];
}

/** Starts a Prometheus that scrapes these ports once a second. Its files are in a temporary folder. */
export async function startPrometheus(ports: readonly number[]): Promise<Prometheus> {
  const program = requireBinary('prometheus');
  const dir = await mkdtemp(join(tmpdir(), 'anynode-prometheus-'));
  const targets = ports.map((port) => `'127.0.0.1:${port}'`).join(', ');
  await writeFile(
    join(dir, 'prometheus.yml'),
    `global: { scrape_interval: 1s }
scrape_configs:
  - job_name: mcp-anynode
    static_configs: [{ targets: [${targets}] }]
`,
  );
  const { port, service } = await startOnPort(undefined, (port) => {
    const args = [
      ...['--config.file', join(dir, 'prometheus.yml'), '--storage.tsdb.path', join(dir, 'data')],
      ...['--web.listen-address', `127.0.0.1:${port}`],
    ];
    return startService(program, args, { ready: /ready to receive web requests/, cwd: dir });
  });
  return {
    async query(expression) {
      const url = `http://127.0.0.1:${port}/api/v1/query`;
      const response = await fetch(url, {
        method: 'POST',
        body: new URLSearchParams({ query: expression }),
      });
      const { status, data, error } = (await response.json()) as {
        status: string;
        data?: { result: Sample[] };
        error?: string;
      };
      if (status !== 'success') throw new Error(`${expression}: ${error ?? status}`);
      return data?.result ?? [];
    },
    async stop() {
      await service.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
