/**
 * The entry `mcp-anynode/legacy-sse`: the HTTP+SSE transport of revision 2024-11-05, beside the endpoint of Streamable HTTP.
 */
export { legacySse } from './legacy-sse.js';
export type { LegacySseOptions } from './legacy-sse.js';
