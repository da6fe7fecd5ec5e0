/** The entry `mcp-anynode/observe`: reads sessions from outside, for command lines and dashboards. */
export { observe } from './observe.js';
export type { ObserveOptions } from './observe.js';
export type { RedisInfo } from '../backplane/observation.js';
export type {
  NodeInfo,
  NodeStats,
  Observer,
  RequestInfo,
  SessionDetails,
  SessionPage,
  SessionQuery,
  SessionStats,
  SessionSummary,
  Stats,
  StreamInfo,
  Traffic,
} from './observer.js';
