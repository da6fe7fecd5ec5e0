import { copyFile, readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Script } from 'node:vm';
import { build, type BuildOptions } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { ENTRIES } from '../../scripts/entries.mjs';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { pack } from './pack.js';
import { npm, oldestOf, root, run, temporaryFolder, writeJson } from './npm.js';

interface Manifest {
  dependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}

let tarball: string;
let files: string[];
let manifest: Manifest;

beforeAll(async () => {
  ({ tarball, files } = await pack());
  manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Manifest;
}, 120_000);

describe('the tarball', () => {
  it('contains the code with its types, and the documents', () => {
    for (const name of [
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'docs/README.md',
      'docs/tutorial.md',
      'docs/how-to/prepare-redis.md',
      'docs/reference/options.md',
      'docs/architecture/overview.md',
      'docs/decisions/README.md',
      'docs/backplane.md',
      'docs/cli.md',
      'docs/guarantees.md',
      'docs/wire.md',
      'deploy/alerts.yml',
      'deploy/grafana.json',
    ]) {
      expect(files).toContain(name);
    }
    for (const { file, isDual } of ENTRIES) {
      const endings = isDual ? ['js', 'd.ts', 'cjs', 'd.cts'] : ['js', 'd.ts'];
      for (const ending of endings) expect(files).toContain(`dist/${file}.${ending}`);
    }
  });

  it('contains all files that its modules import, and loads other packages by the way of each kind', async () => {
    const code = files.filter((path) => /^dist\/.*\.c?js$/.test(path));
    const imported = code.map(async (path) => {
      const text = await readFile(join(root, path), 'utf8');
      // No file but the modules is read. CommonJS has no `import.meta`, and no `await` outside of functions.
      expect(text, path).not.toContain('import.meta');
      if (path.endsWith('.cjs')) expect(() => new Script(text), path).not.toThrow();
      const found = path.endsWith('.cjs')
        ? text.matchAll(/require\("([^"]+)"\)/g)
        : text.matchAll(/^(?:import|export)\b[^;]*?"([^"]+)";$/gm);
      return [...found].map(([, name = '']) => [path, name] as const);
    });
    const names = (await Promise.all(imported)).flat();
    const own = names.filter(([, name]) => name.startsWith('.'));
    expect(own.length).toBeGreaterThan(code.length);
    expect(own.filter(([path, name]) => !files.includes(join(dirname(path), name)))).toEqual([]);
    // What is loaded with the module. The SDK and Express are not, and may not be there.
    const packages = names
      .map(([, name]) => name)
      .filter((name) => !name.startsWith('.') && !name.startsWith('node:'));
    expect([...new Set(packages)].sort()).toEqual([
      '@opentelemetry/api',
      'commander',
      'ioredis',
      'vitest',
    ]);
  });

  it('contains nothing else', () => {
    const others = files.filter(
      (path) =>
        !/^(package\.json|README\.md|LICENSE|CHANGELOG\.md|SECURITY\.md)$/.test(path) &&
        !/^docs\/([\w-]+\/)?[\w-]+\.(md|svg)$/.test(path) &&
        !/^deploy\/[\w-]+\.(yml|json)$/.test(path) &&
        !/^dist\/(chunks\/|cli\/)?[\w-]+\.(c?js|d\.c?ts)$/.test(path),
    );
    expect(others).toEqual([]);
  });
});

describe.each([
  {
    name: 'the current SDK, Express 5 and ioredis',
    versions: ({ devDependencies, dependencies }: Manifest) => ({
      sdk: devDependencies['@modelcontextprotocol/sdk'],
      express: devDependencies.express,
      ioredis: dependencies.ioredis,
      zod: devDependencies.zod,
    }),
  },
  {
    name: 'the oldest SDK, Express and ioredis that are supported',
    versions: ({ peerDependencies, dependencies }: Manifest) => ({
      sdk: oldestOf(peerDependencies['@modelcontextprotocol/sdk']),
      express: oldestOf(peerDependencies.express),
      ioredis: oldestOf(dependencies.ioredis),
      zod: '^3.25.0',
    }),
  },
])('in an empty project with $name', ({ versions }) => {
  let project: Awaited<ReturnType<typeof temporaryFolder>>;

  beforeAll(async () => {
    project = await temporaryFolder();
    const { sdk, express, ioredis, zod } = versions(manifest);
    const { devDependencies } = manifest;
    await writeJson(project.path, 'package.json', {
      private: true,
      type: 'module',
      dependencies: {
        'mcp-anynode': tarball,
        '@modelcontextprotocol/sdk': sdk,
        '@modelcontextprotocol/server': devDependencies['@modelcontextprotocol/server'],
        '@types/express': devDependencies['@types/express'],
        '@types/node': devDependencies['@types/node'],
        express,
        ioredis,
        zod,
      },
    });
    await writeJson(project.path, 'tsconfig.json', {
      compilerOptions: {
        target: 'ES2022',
        // The SDK's own types need those of the DOM.
        lib: ['ES2023', 'DOM'],
        module: 'NodeNext',
        types: ['node'],
        strict: true,
        exactOptionalPropertyTypes: true,
        noUncheckedIndexedAccess: true,
        skipLibCheck: false,
        noEmit: true,
      },
      files: ['consumer.ts'],
    });
    for (const name of ['session.mjs', 'consumer.ts']) {
      await copyFile(join(root, 'test/packaging/fixtures', name), join(project.path, name));
    }
    await npm(['install'], project.path);
  }, 120_000);

  afterAll(() => project.remove());

  const served = {
    answers: ['decline', 'decline', 'decline', 'decline'],
    replicas: [1, 1],
    left: [],
    // Bug: a connection to Redis that was ended twice left a timer behind, and the process of a closed node stayed for two
    // seconds.
    timers: [],
  };

  it('serves a session from beginning to end, in memory', async () => {
    const output = await run(process.execPath, ['session.mjs'], { cwd: project.path });
    expect(JSON.parse(output)).toEqual(served);
  });

  it('serves a session from beginning to end, over Redis', async () => {
    const env = { REDIS_URL: redisUrl(), PREFIX: uniquePrefix() };
    const output = await run(process.execPath, ['session.mjs'], { cwd: project.path, env });
    // The output is this line only. Bug: ioredis 5.4.0 printed another line for each reply.
    expect(JSON.parse(output)).toEqual(served);
  });

  it('serves a session over Redis from a bundle, with no other file beside it', async () => {
    const bundle = await temporaryFolder();
    onTestFinished(bundle.remove);
    const options: BuildOptions = { bundle: true, platform: 'node', logLevel: 'silent' };
    const module = await build({
      ...options,
      entryPoints: [join(project.path, 'session.mjs')],
      outfile: join(bundle.path, 'session.mjs'),
      format: 'esm',
      // Packages that are CommonJS, such as Express, call `require`.
      banner: {
        js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
      },
    });
    expect(module.warnings).toEqual([]);
    expect(await readdir(bundle.path)).toEqual(['session.mjs']);
    const env = { REDIS_URL: redisUrl(), PREFIX: uniquePrefix() };
    const output = await run(process.execPath, ['session.mjs'], { cwd: bundle.path, env });
    expect(JSON.parse(output)).toEqual(served);

    // webpack and ncc usually make CommonJS, in which `import.meta` is empty. esbuild warns of each `import.meta` that is
    // left.
    const common = await build({
      ...options,
      stdin: { contents: "export * from 'mcp-anynode'", resolveDir: project.path },
      write: false,
      format: 'cjs',
    });
    expect(common.warnings).toEqual([]);
  });

  it('installs a command that runs', async () => {
    const command = join(project.path, 'node_modules/.bin/mcp-anynode');
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(await run(command, ['--version'], { cwd: project.path })).toBe(`${version}\n`);
    const args = ['nodes', '--json', '--prefix', uniquePrefix()];
    const env = { REDIS_URL: redisUrl() };
    const none = run(command, args, { cwd: project.path, env });
    await expect(none).rejects.toThrow('no nodes under prefix test-');
  });

  it('has types against which a strict TypeScript program compiles', async () => {
    const check = join(root, 'test/packaging/fixtures/check-types.mjs');
    expect(await run(process.execPath, [check], { cwd: project.path })).toBe('');
  }, 120_000); // as long as the machine takes
});
