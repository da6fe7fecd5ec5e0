/** Gives the plain files of a directory, one after another, the names of compressed ones, as a compression does. */
import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const directory = process.argv[2] ?? '';
const names = readdirSync(directory);
process.stdout.write('begins\n');
for (const name of names) {
  const path = join(directory, name);
  writeFileSync(`${path}.tmp`, '');
  renameSync(`${path}.tmp`, `${path}.gz`);
  rmSync(path);
}
