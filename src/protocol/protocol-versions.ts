/**
 * The versions of the protocol. They are those of the SDK, which this library does not import: it need not be installed.
 * A test compares the two.
 */
export const SUPPORTED_PROTOCOL_VERSIONS: readonly string[] = [
  '2025-11-25',
  '2025-06-18',
  '2025-03-26',
  '2024-11-05',
  '2024-10-07',
];

/** The version that a request has which does not name one. */
export const DEFAULT_NEGOTIATED_PROTOCOL_VERSION = '2025-03-26';

/** The first version whose clients accept an event without data. */
export const FIRST_VERSION_WITH_PRIMING = '2025-11-25';
