import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import express from 'express';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ALL, compilerOptionsOf, PAIRS } from '../consumers/compilations.js';
import { CONSUMERS } from '../consumers/consumers.js';
import {
  hasNodes,
  installNodes,
  installSet,
  makeProject,
  PACKAGE_SETS,
  toolOf,
} from '../consumers/install.js';
import type { PackageSet } from '../consumers/install.js';
import { mapEndpoint } from '../integration/support/map-endpoint.js';
import { listen } from '../integration/support/serve.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { root, run, temporaryFolder, writeJson } from './npm.js';
import { pack } from './pack.js';

/** The versions of Node that each consumer runs on. */
const NODES = ['20.19', '22', '24', '26'];

/** There are versions of Node for Linux with glibc only. */
const NODES_HERE = hasNodes ? NODES : [process.versions.node];

/** Those that run here. The large ones run only if all do. */
const all = process.env.CONSUMERS === 'all';
const RUNNING = CONSUMERS.filter(({ isLarge }) => all || isLarge !== true);

/** What a session gives that any consumer serves. */
const PLAYED = { version: '2025-06-18', answers: ['3', '4'], ended: true };

const projects = new Map<PackageSet, Awaited<ReturnType<typeof temporaryFolder>>>();
let binaryOf: (version: string) => string;

const projectOf = (packages: PackageSet): string => projects.get(packages)?.path ?? '';

beforeAll(async () => {
  const { tarball } = await pack();
  binaryOf = await installNodes();
  for (const packages of PACKAGE_SETS) {
    if (!RUNNING.some((consumer) => consumer.packages === packages)) continue;
    await installSet(packages, tarball);
    const project = await temporaryFolder();
    projects.set(packages, project);
    await makeProject(project.path, packages);
  }
}, 300_000); // the first time, with the packages from the network

afterAll(() => Promise.all([...projects.values()].map(({ remove }) => remove())));

describe.each(RUNNING)('$name', ({ packages, args, build, isBundle, isRunner, printed }) => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>> | undefined;

  beforeAll(async () => {
    await build?.(projectOf(packages));
    if (!isBundle) return;
    folder = await temporaryFolder();
    const [file = ''] = args.slice(-1);
    await copyFile(join(projectOf(packages), file), join(folder.path, file));
  });

  afterAll(() => folder?.remove());

  it.each(NODES_HERE)('serves a session over Redis on Node %s', async (version) => {
    const add = ({ args: { a, b } }: { args: Record<string, unknown> }) =>
      String(Number(a) + Number(b));
    const env = {
      REDIS_URL: redisUrl(),
      PREFIX: uniquePrefix(),
      EXPECTED: JSON.stringify(PLAYED),
      UPSTREAM: await listen(express().use('/mcp', mapEndpoint({ tools: { add } }).handler)),
    };
    const cwd = folder?.path ?? projectOf(packages);
    const output = await run(binaryOf(version), args, { cwd, env });
    if (isRunner) expect(JSON.parse(output)).toMatchObject({ numPassedTests: 1, success: true });
    else expect(JSON.parse(output)).toEqual({ ...PLAYED, ...printed });
  });
});

describe('the types', () => {
  it.each(all ? ALL : PAIRS)(
    'compile with TypeScript $typescript, `module: $module`, exact optional properties: $exact, types of Express: $expressTypes',
    async (compilation) => {
      const project = projectOf(compilation.expressTypes === 'none' ? 'bare' : 'tools');
      const name = `tsconfig-${Object.values(compilation).join('-')}.json`;
      const compilerOptions = compilerOptionsOf(compilation);
      await writeJson(project, name, { compilerOptions, files: ['types/program.ts'] });
      const compiler = toolOf(compilation.typescript === '5.9' ? 'typescript' : 'typescript6');
      const args = [join(compiler, 'bin/tsc'), '-p', name];
      expect(await run(process.execPath, args, { cwd: project })).toBe('');
    },
  );
});

it('the page of versions lists the consumers, and the versions of Node', async () => {
  const page = await readFile(join(root, 'docs/reference/versions.md'), 'utf8');
  const [, section = ''] = page.split('## How it is used');
  const rows = (section.split('\n## ')[0]?.match(/^\|.*\|$/gm) ?? []).map((row) =>
    row.slice(2, -2).split(' | '),
  );
  const [head = [], , ...body] = rows;
  expect(head.slice(1)).toEqual(NODES.map((version) => `Node ${version}`));
  expect(body.map(([name]) => name)).toEqual(CONSUMERS.map(({ name }) => name));
  expect(body.flatMap((cells) => cells.slice(1)).filter((cell) => cell !== '✓')).toEqual([]);
});
