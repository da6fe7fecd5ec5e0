import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inject, vi } from 'vitest';
import type {} from '../support/global-setup.js';
import { npm, root } from './npm.js';

export interface Packed {
  /** The path of the tarball. */
  tarball: string;
  /** The paths of the files in it. */
  files: string[];
}

/** Builds and packs the package, once in a test run. */
export async function pack(): Promise<Packed> {
  const folder = inject('packedFolder');
  const note = join(folder, 'packed.json');
  const isFirst = await mkdir(join(folder, 'begun')).then(
    () => true,
    () => false,
  );
  if (isFirst) {
    const done = await packInto(folder).catch((error: unknown) => ({ error: String(error) }));
    await writeFile(`${note}.new`, JSON.stringify(done));
    await rename(`${note}.new`, note);
  }
  const text = await vi.waitFor(() => readFile(note, 'utf8'), { timeout: 120_000 });
  const packed = JSON.parse(text) as Packed | { error: string };
  if ('error' in packed) throw new Error(packed.error);
  return packed;
}

async function packInto(folder: string): Promise<Packed> {
  const printed = await npm(['pack', '--json', '--pack-destination', folder], root);
  // The output of `prepack` comes first.
  const json = printed.slice(printed.search(/^[[{]/m));
  // npm 12 prints an object by name. Older versions print a list.
  const [made] = Object.values(
    JSON.parse(json) as Record<string, { filename: string; files: { path: string }[] }>,
  );
  if (made === undefined) throw new Error(`npm pack made nothing: ${printed}`);
  return { tarball: join(folder, made.filename), files: made.files.map(({ path }) => path) };
}
