/** One HTTP exchange with a server behind this library. */
import type { Agent, IncomingMessage, RequestOptions } from 'node:http';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Socket } from 'node:net';
import type { Clock } from '../protocol/clock.js';
import { Failure } from './failure.js';
import type { Origin } from './origin.js';

/** Where a server behind this library takes its requests. */
export interface Target {
  /** Resolves with the head of the response, whatever its status. Rejects with a {@link Failure}. */
  send(outgoing: Outgoing): Promise<IncomingMessage>;
  close(): Promise<void>;
}

export interface Outgoing {
  method: 'POST' | 'GET' | 'DELETE';
  /** Of the protocol; those of the client are added. */
  headers: Record<string, string>;
  body?: string;
  origin: Origin | undefined;
  /** Ends the exchange, the body of the response included. */
  signal?: AbortSignal;
  /** How long until the head of the response; left out: as long as it takes. */
  timeoutMs?: number;
  /** All of it has been written. */
  onSent?: () => void;
}

/** Of a connection, whoever it belongs to; or what we say ourselves. */
const NOT_PASSED_ON = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection'],
  ...['te', 'trailer', 'transfer-encoding', 'upgrade', 'expect', 'content-length'],
  ...['content-encoding', 'content-type', 'accept', 'accept-encoding', 'mcp-session-id'],
  ...['mcp-protocol-version', 'last-event-id'],
]);

/** The client's headers, but for those of its connection, of its session, and `except`. */
export function headersOf(
  { headers, origin }: Pick<Outgoing, 'headers' | 'origin'>,
  except: readonly string[],
): Record<string, string> {
  const given = origin?.headers ?? {};
  const named = (given.connection ?? '').split(',').map((name) => name.trim().toLowerCase());
  const passed = Object.entries(given).filter(
    ([name]) => !NOT_PASSED_ON.has(name) && !named.includes(name) && !except.includes(name),
  );
  return { ...Object.fromEntries(passed), ...headers };
}

/** TCP itself finds out about a peer that is gone without a word, after this and some seconds. */
const TCP_KEEP_ALIVE_MS = 15_000;

export interface Connecting {
  url: URL;
  agent: Agent;
  clock: Clock;
  connectMs: number;
}

/** Sends one request, with exactly these headers. */
export function exchange(
  { method, headers, body, signal, timeoutMs, onSent }: Omit<Outgoing, 'origin'>,
  { url, agent, clock, connectMs }: Connecting,
): Promise<IncomingMessage> {
  const secure = url.protocol === 'https:';
  // As bytes: together with a text, Node would write the headers as UTF-8 too.
  const bytes = body === undefined ? undefined : Buffer.from(body);
  const length = bytes === undefined ? {} : { 'content-length': `${bytes.length}` };
  const options: RequestOptions = { method, agent, headers: { ...headers, ...length } };
  return new Promise((resolve, reject) => {
    let connected = false;
    let cancelConnect = (): void => undefined;
    let cancelTimeout = (): void => undefined;
    const settle = (): void => {
      cancelConnect();
      cancelTimeout();
      signal?.removeEventListener('abort', onAbort);
    };
    const fail = (detail: string): void => {
      settle();
      reject(new Failure(connected ? 'server_lost' : 'server_unreachable', detail));
      request.destroy();
    };
    const onAbort = (): void => fail('given up');

    const send = secure ? requestHttps : requestHttp;
    const request = send(url, options, (response) => {
      settle();
      endWith(signal, response);
      resolve(response);
    });
    request.on('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message));
    request.setSocketKeepAlive(true, TCP_KEEP_ALIVE_MS);
    request.once('finish', () => onSent?.());
    request.once('socket', (socket: Socket) => {
      if (request.reusedSocket || (!secure && !socket.connecting)) {
        connected = true;
        return;
      }
      cancelConnect = clock.after(connectMs, () => fail(`no connection within ${connectMs} ms`));
      socket.once(secure ? 'secureConnect' : 'connect', () => {
        connected = true;
        cancelConnect();
      });
    });
    if (timeoutMs !== undefined) {
      cancelTimeout = clock.after(timeoutMs, () => fail(`no answer within ${timeoutMs} ms`));
    }
    if (signal?.aborted) onAbort();
    else signal?.addEventListener('abort', onAbort);
    request.end(bytes);
  });
}

/** A body that breaks off is noticed by whoever reads it. */
function endWith(signal: AbortSignal | undefined, response: IncomingMessage): void {
  const onAbort = (): void => void response.destroy();
  signal?.addEventListener('abort', onAbort);
  response.on('error', () => undefined);
  response.once('close', () => signal?.removeEventListener('abort', onAbort));
}
