/**
 * The members of a response that the endpoint uses. Responses of Express and of Node's servers have them, and so has that of
 * `mcp.fetch`. `response.ts` uses more, where a response has more.
 */
export interface EndpointResponse {
  /** True once status and headers are fixed. */
  readonly headersSent: boolean;
  /** With `false`, the connection ends with this response. */
  shouldKeepAlive: boolean;
  readonly destroyed: boolean;
  readonly writableEnded: boolean;
  readonly writableFinished: boolean;
  /** How many bytes wait until the connection takes them. */
  readonly writableLength: number;
  setHeader(name: string, value: string): unknown;
  writeHead(status: number, headers?: Record<string, string | number>): unknown;
  /** Returns false if more is buffered than the connection takes at once. `drain` follows then. */
  write(text: string): boolean;
  end(text?: string): unknown;
  destroy(): unknown;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- each event has arguments of its own
  on(event: string, listener: (...given: any[]) => void): unknown;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as above
  once(event: string, listener: (...given: any[]) => void): unknown;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- as above
  prependListener(event: string, listener: (...given: any[]) => void): unknown;
}
