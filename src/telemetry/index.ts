/** Entry `mcp-anynode/telemetry`: spans and metrics with OpenTelemetry. */
export { telemetry } from './telemetry.js';
export type { TelemetryOptions } from './telemetry.js';
export type { Telemetry } from '../options/node-telemetry.js';
