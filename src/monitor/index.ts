/** The entry `mcp-anynode/monitor`: a page that shows the cluster and its sessions, as Express middleware. */
export { monitor } from './middleware.js';
export type { Monitor, MonitorOptions } from './middleware.js';
