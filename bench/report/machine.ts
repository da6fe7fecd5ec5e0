import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import type { Redis } from 'ioredis';

/** What the figures were measured on, by name. */
export async function machine(redis: Redis): Promise<Record<string, string>> {
  const processors = cpus();
  const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1] ?? 'unknown';
  return {
    Processor: `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown'}`,
    Memory: `${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
    System: `${type()} ${release()}`,
    Node: process.version,
    Redis: version,
    SDK: versionOf('@modelcontextprotocol/sdk'),
    Express: versionOf('express'),
    ioredis: versionOf('ioredis'),
    // What else ran: on a machine that is busy with other things, even ratios say little.
    'Load before the run': loadavg()[0]?.toFixed(2) ?? 'unknown',
  };
}

function versionOf(name: string): string {
  // Not every package exports its package.json.
  const file = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
