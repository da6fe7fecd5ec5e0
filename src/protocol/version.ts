import { readFileSync } from 'node:fs';

const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');

/** The version of this package. `npm run build` replaces this module by one that contains the number as text. */
export const VERSION = (JSON.parse(manifest) as { version: string }).version;
