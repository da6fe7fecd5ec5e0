/** Sends one HTTP request to a server behind this library. */
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Socket } from 'node:net';
import type { Clock } from '../../protocol/timing/clock.js';
import { INTERIM_RESPONSES, oversized } from '../bounds.js';
import type { Ending } from '../ending.js';
import { Failure } from '../failure.js';
import type { Origin } from './origin.js';

/** The place to which requests for a server behind this library are sent. */
export interface Target {
  /** True if the server is in this process. See {@link Origin}. */
  readonly inside: boolean;
  /** Grows each time the server was found not to listen. The sessions that it had before are gone. */
  readonly restarts: number;
  /** Resolves with the head of the response, whatever its status. Rejects with a {@link Failure}. */
  send(outgoing: Outgoing): Promise<IncomingMessage>;
  close(): Promise<void>;
}

export interface Outgoing {
  method: 'POST' | 'GET' | 'DELETE';
  /** The headers of the protocol. Those of the client are added. */
  headers: Record<string, string>;
  body?: string;
  origin: Origin | undefined;
  /** Ends the exchange, the body of the response included. */
  ending?: Ending;
  /** How long the head of the response may take. `undefined`: as long as it needs. */
  timeoutMs?: number;
  /** Called when the whole request has been written. */
  onSent?: () => void;
}

/** Headers that belong to a connection, or that this library sets itself. */
const NOT_PASSED_ON = new Set([
  ...['connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection'],
  ...['te', 'trailer', 'transfer-encoding', 'upgrade', 'expect', 'content-length'],
  ...['content-encoding', 'content-type', 'accept', 'accept-encoding', 'mcp-session-id'],
  ...['mcp-protocol-version', 'last-event-id'],
]);

/**
 * Returns the headers to send: the client's headers without those of its connection, of its session, and without `except`.
 *
 * - Names in the client's `Connection` header are ignored. Otherwise a client could remove headers that middleware in front
 *   has set, such as its identity.
 * - A name with underscores counts as the name with hyphens, because CGI-like servers do not tell them apart.
 */
export function headersOf(
  { headers, origin }: Pick<Outgoing, 'headers' | 'origin'>,
  except: readonly string[],
): Record<string, string> {
  const given = origin?.headers ?? {};
  const passed = Object.entries(given).filter(([name]) => {
    if (NOT_PASSED_ON.has(name) || except.includes(name)) return false;
    if (!name.includes('_')) return true;
    const meant = name.replaceAll('_', '-');
    return !NOT_PASSED_ON.has(meant) && !except.includes(meant) && !Object.hasOwn(given, meant);
  });
  // A compressed response could be read. But compression costs both sides work, and mostly both sides are on one machine.
  return { ...Object.fromEntries(passed), 'accept-encoding': 'identity', ...headers };
}

export interface Connecting {
  place: Pick<RequestOptions, 'protocol' | 'host' | 'port' | 'path' | 'auth'>;
  agent: Agent;
  clock: Clock;
  connectMs: number;
  /** Called with the connection before the request is sent. */
  onSocket?: (socket: Socket) => void;
}

/** Sends one request. `headers` are those that {@link headersOf} has returned, so no header of the client is added here. */
export function exchange(
  { method, headers, body, ending, timeoutMs, onSent }: Omit<Outgoing, 'origin'>,
  { place, agent, clock, connectMs, onSocket }: Connecting,
): Promise<IncomingMessage> {
  const secure = place.protocol === 'https:';
  const length = body === undefined ? {} : { 'content-length': `${Buffer.byteLength(body)}` };
  const options: RequestOptions = { ...place, method, agent, headers: { ...headers, ...length } };
  return new Promise((resolve, reject) => {
    let connected = false;
    let interim = 0;
    let cancelConnect = (): void => undefined;
    let cancelTimeout = (): void => undefined;
    let release = (): void => undefined;
    const settle = (): void => {
      cancelConnect();
      cancelTimeout();
      release();
    };
    const fail = (why: string | Failure): void => {
      settle();
      const reason = connected ? 'server_lost' : 'server_unreachable';
      reject(typeof why === 'string' ? new Failure(reason, why) : why);
      request.destroy();
    };

    const send = secure ? requestHttps : requestHttp;
    let answered = false;
    const request = send(options, (response) => {
      answered = true;
      settle();
      endWith(ending, response);
      resolve(response);
    });
    request.on('error', (error: NodeJS.ErrnoException) => fail(failureOf(error)));
    // The server may upgrade a connection without being asked to. Without this listener, Node would destroy it and emit
    // nothing more.
    request.once('upgrade', (_, socket: Socket) => {
      socket.destroy();
      fail(new Failure('server_invalid', 'status 101'));
    });
    request.once('close', () => {
      if (!answered) fail('the connection closed before the answer');
    });
    request.on('information', () => {
      interim += 1;
      if (interim <= INTERIM_RESPONSES) return;
      fail(oversized(`more than ${INTERIM_RESPONSES} responses with a status of 1xx`));
    });
    request.once('finish', () => onSent?.());
    request.once('socket', (socket: Socket) => {
      onSocket?.(socket);
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
    if (ending !== undefined) release = ending.onEnd(() => fail('given up'));
    end(request, body);
  });
}

/** Makes a failure of an error. What Node's parser refuses is not HTTP, or has headers longer than Node allows. */
function failureOf({ code, message }: NodeJS.ErrnoException): string | Failure {
  if (code === 'HPE_HEADER_OVERFLOW') return oversized('headers that are longer than Node allows');
  if (code?.startsWith('HPE_') === true) return new Failure('server_invalid', code);
  return code ?? message;
}

/**
 * Ends a request. Node sends a text in one piece with the headers, in one encoding. Headers are Latin-1, and most bodies are
 * ASCII, which is the same in Latin-1. Other bodies are sent as bytes, because as a text they would make Node write the
 * headers as UTF-8 too.
 */
function end(request: ClientRequest, body = ''): void {
  if (isAscii(body)) request.end(body, 'latin1');
  else request.end(Buffer.from(body));
}

const isAscii = (text: string): boolean => Buffer.byteLength(text) === text.length;

/** Lets `ending` end the response. The reader of the body notices when it breaks off. */
function endWith(ending: Ending | undefined, response: IncomingMessage): void {
  response.on('error', () => undefined);
  const release = ending?.onEnd(() => void response.destroy());
  if (release !== undefined) response.once('close', release);
}
