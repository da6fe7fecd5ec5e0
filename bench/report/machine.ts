import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem, type } from 'node:os';
import type { Redis } from 'ioredis';
import type { NodeBinary } from '../run/node-binary.js';

/** Returns the properties of the machine on which the figures were measured, by name. */
export async function machine(
  redis: Redis,
  node: NodeBinary,
  beside: NodeBinary | undefined,
): Promise<Record<string, string>> {
  const processors = cpus();
  const version = /redis_version:(\S+)/.exec(await redis.info('server'))?.[1] ?? 'unknown';
  return {
    Processor: `${processors.length} × ${processors[0]?.model.trim() ?? 'unknown'}`,
    Memory: `${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
    System: `${type()} ${release()}`,
    Node: node.version,
    ...(beside !== undefined && { 'Node beside': beside.version }),
    Redis: version,
    SDK: versionOf('@modelcontextprotocol/sdk'),
    Express: versionOf('express'),
    ioredis: versionOf('ioredis'),
    // Shows whether other processes ran. On a machine that is busy with them, even ratios mean little.
    'Load before the run': loadavg()[0]?.toFixed(2) ?? 'unknown',
  };
}

function versionOf(name: string): string {
  // Not every package exports its package.json.
  const file = new URL(`../../node_modules/${name}/package.json`, import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
