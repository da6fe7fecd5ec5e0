/** Endpoints that are called in this process, as `mcp.fetch` is, instead of over a port. */
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { FetchHandler } from '../../src/index.js';

const handlers = new Map<string, FetchHandler>();

/** Gives a handler an address. No port has it. Returns the address, and what takes it away. */
export function addressOf(handler: FetchHandler): { url: string; remove: () => void } {
  const host = `${handlers.size + 1}-${process.pid}.localhost`;
  handlers.set(host, handler);
  return { url: `http://${host}/mcp`, remove: () => void handlers.delete(host) };
}

export function handlerAt({ host }: URL): FetchHandler | undefined {
  return handlers.get(host);
}

/** Sends a request to a handler. Resolves with the response in the form in which Node's client has it. */
export async function exchangeWithoutPort(
  handler: FetchHandler,
  url: URL,
  {
    signal,
    body: sent,
    ...init
  }: {
    method: string;
    headers: Record<string, string>;
    body: string | undefined;
    signal: AbortSignal | undefined;
  },
): Promise<IncomingMessage> {
  const given = { ...init, ...(sent !== undefined && { body: sent }), ...(signal && { signal }) };
  const response = await handler(new Request(url, given));
  signal?.throwIfAborted();
  const body =
    response.body === null
      ? Readable.from([])
      : Readable.fromWeb(response.body, { ...(signal && { signal }) });
  body.on('error', () => undefined);
  body.once('end', () => Object.assign(body, { complete: true }));
  return Object.assign(body, {
    complete: false,
    statusCode: response.status,
    headers: Object.fromEntries(response.headers),
  }) as unknown as IncomingMessage;
}
