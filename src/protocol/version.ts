import { readFileSync } from 'node:fs';

const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');

/** The version of this package. `npm run build` puts a module in place of this one that has the number in its text. */
export const VERSION = (JSON.parse(manifest) as { version: string }).version;
