import { fileURLToPath } from 'node:url';

/** The packages are in the folder above this one. */
const root = fileURLToPath(new URL('..', import.meta.url));

export default { turbopack: { root }, outputFileTracingRoot: root };
