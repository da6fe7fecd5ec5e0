import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** A program `node`. */
export interface NodeBinary {
  path: string;
  /** For example `v24.21.0`. */
  version: string;
}

/**
 * Finds the program for `--node` and `--beside`: a path, or a major version, which is one of those that
 * `npm run test:nodes` installs. Throws if there is no such file.
 */
export function findNode(given: string): NodeBinary {
  const path = /^\d+$/.test(given) ? installed(given) : given;
  if (!existsSync(path)) {
    throw new Error(`There is no ${path}; \`npm ci\` in test/nodes installs versions of Node`);
  }
  const version = execFileSync(path, ['--version'], { encoding: 'utf8' }).trim();
  return { path, version };
}

function installed(major: string): string {
  const folder = new URL('../../test/nodes/node_modules/', import.meta.url);
  const name = `node-${process.platform}-${process.arch}-${major}`;
  return fileURLToPath(new URL(`${name}/bin/node`, folder));
}
