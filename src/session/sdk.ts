/** What is taken from the SDK itself, so that the two cannot disagree. */
import {
  DEFAULT_NEGOTIATED_PROTOCOL_VERSION,
  isInitializeRequest,
  SUPPORTED_PROTOCOL_VERSIONS,
} from '@modelcontextprotocol/sdk/types.js';

export { DEFAULT_NEGOTIATED_PROTOCOL_VERSION, isInitializeRequest, SUPPORTED_PROTOCOL_VERSIONS };

/** Clients before it choke on an event without data. */
export const FIRST_VERSION_WITH_PRIMING = '2025-11-25';
