/** The entry `mcp-anynode/observe`: reads sessions from outside, for command lines and dashboards. */
export { observe } from './observe.js';
export type { ObserveOptions } from './observe.js';
export type {
  NodeInfo,
  Observer,
  RequestInfo,
  SessionDetails,
  SessionStats,
  Stats,
  StreamInfo,
  Traffic,
} from './observer.js';
