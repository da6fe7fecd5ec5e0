/** `mcp-anynode/legacy-sse`: the HTTP+SSE transport of 2024-11-05, beside the endpoint. */
export { legacySse } from './legacy-sse.js';
export type { LegacySseOptions } from './legacy-sse.js';
