/**
 * The trace of a request: the text that `traceparent` has in W3C Trace Context, version 00. It goes from node to node and
 * stands in the log, so that telemetry can link what other nodes do to the request.
 */

const TRACE = /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;

/** Returns the text if it is a trace. It may come from another node or from a store, and may be anything. */
export function parseTrace(text: unknown): string | undefined {
  return typeof text === 'string' && TRACE.test(text) ? text : undefined;
}
