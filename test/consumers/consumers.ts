import { ENTRIES } from '../../scripts/entries.mjs';
import { run } from '../packaging/npm.js';
import type { PackageSet } from './install.js';

/** A way in which an application is built and run. */
export interface Consumer {
  name: string;
  /** The packages that are installed with it. */
  packages: PackageSet;
  /** Builds what runs. `project` has the programs and the packages. */
  build?: (project: string) => Promise<unknown>;
  /** The arguments of Node. A bundle is the only file in the folder in which it runs. */
  args: string[];
  /** What it prints besides what all others do. */
  printed?: object;
  /** It is a test runner: it compares by itself, and prints how many tests passed. */
  isRunner?: boolean;
  isBundle?: boolean;
  /** Its packages are so large that it runs only with `CONSUMERS=all`. */
  isLarge?: boolean;
}

/** CommonJS has to do without a way to load ES modules. */
const COMMON = '--no-experimental-require-module';

const bundledBy = (bundler: string): Consumer => ({
  name: `one file, by ${bundler}`,
  packages: 'tools',
  build: (project) => run(process.execPath, ['bundle.cjs', bundler], { cwd: project }),
  args: [COMMON, `${bundler}.cjs`],
  isBundle: true,
});

export const CONSUMERS: Consumer[] = [
  { name: '`import`', packages: 'tools', args: ['import.mjs'] },
  { name: '`require`', packages: 'tools', args: ['require.cjs'] },
  {
    name: '`require`, where it cannot load ES modules',
    packages: 'tools',
    args: [COMMON, 'require.cjs'],
  },
  {
    name: '`require` and `import` in one process',
    packages: 'tools',
    args: [COMMON, 'both.cjs'],
    printed: { code: 'closed', entries: ENTRIES.filter(({ isDual }) => isDual).length },
  },
  {
    name: 'Jest (CommonJS)',
    packages: 'tools',
    args: [COMMON, 'node_modules/jest/bin/jest.js', '--json', '--config', '{"rootDir":"jest"}'],
    isRunner: true,
  },
  {
    name: 'Vitest',
    packages: 'tools',
    args: ['node_modules/vitest/vitest.mjs', 'run', '--dir', 'vitest', '--reporter', 'json'],
    isRunner: true,
  },
  {
    name: 'NestJS (CommonJS)',
    packages: 'tools',
    build: (project) =>
      run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'nest'], { cwd: project }),
    args: [COMMON, 'nest/main.js'],
  },
  {
    name: 'ts-node (CommonJS)',
    packages: 'tools',
    args: [COMMON, 'node_modules/ts-node/dist/bin.js', 'ts-node/main.ts'],
  },
  bundledBy('esbuild'),
  bundledBy('webpack'),
  bundledBy('ncc'),
  { name: 'functions like those of AWS Lambda', packages: 'tools', args: [COMMON, 'lambda.cjs'] },
  { name: 'a server of v2, without v1', packages: 'v2', args: [COMMON, 'v2.cjs'] },
  {
    name: '`upstream`, without any SDK or Express',
    packages: 'bare',
    args: [COMMON, 'gateway.cjs'],
  },
  { name: 'the command, without any SDK or Express', packages: 'bare', args: ['command.cjs'] },
  {
    name: 'Next.js, with `mcp.fetch` and without Express',
    packages: 'next',
    build: (project) =>
      run(process.execPath, ['node_modules/next/dist/bin/next', 'build', 'next'], {
        cwd: project,
        env: { NEXT_TELEMETRY_DISABLED: '1', NODE_ENV: 'production' },
      }),
    args: ['next.cjs'],
    printed: { codes: [0, 0] },
    isLarge: true,
  },
];
