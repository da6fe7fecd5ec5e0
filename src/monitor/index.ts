/** The entry `mcp-anynode/monitor`: a page that shows the cluster and its sessions, as Express middleware. */
export { monitor } from './http/middleware.js';
export type { Monitor, MonitorOptions } from './http/middleware.js';
