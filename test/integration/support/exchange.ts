import { request } from 'node:http';
import { RawResponse } from '../../support/mcp-http.js';

/** Header lines as they go over the wire, names repeated where the test says so. */
export type HeaderLines = readonly (readonly [name: string, value: string])[];

/** One HTTP request with exactly these header lines, and no others but `host` and what frames the body. */
export function exchange(
  method: string,
  url: string,
  headers: HeaderLines,
  body?: string | Buffer,
): Promise<RawResponse> {
  const { host } = new URL(url);
  const has = (wanted: string): boolean => headers.some(([name]) => name.toLowerCase() === wanted);
  const framed = body === undefined || has('transfer-encoding');
  const lines = [
    ...(has('host') ? [] : [['host', host] as const]),
    ...headers,
    ...(framed ? [] : [['content-length', `${Buffer.byteLength(body)}`] as const]),
  ];
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers: lines.flat(), agent: false });
    outgoing.once('response', (incoming) => void RawResponse.read(incoming).then(resolve, reject));
    // An answer may come before the body was read.
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}
