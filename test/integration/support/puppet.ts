/** A server whose every word is the test's: for what servers do that no SDK does. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { text } from 'node:stream/consumers';
import type { JsonRpc } from '../../support/mcp-http.js';

export interface Exchange {
  method: string;
  headers: IncomingMessage['headers'];
  url: string;
  /** Of a POST. */
  message: JsonRpc | undefined;
}

type Act = (res: ServerResponse, exchange: Exchange) => void;

export interface PuppetOptions {
  /** `null`: it keeps no sessions. */
  sessionId?: string | null;
  onInitialize?: Act;
  /** A `tools/call`. */
  onCall?: Act;
  /** Any other request; else an empty result. */
  onOther?: Act;
  /** A GET; else 405. */
  onGet?: Act;
  /** A DELETE; else 200. */
  onDelete?: Act;
}

export interface Puppet {
  app: RequestListener;
  /** All that came, in order. */
  seen: Exchange[];
}

export function puppet(options: PuppetOptions = {}): Puppet {
  const { sessionId = 'private', onInitialize = greet, onCall, onOther, onGet } = options;
  const { onDelete = (res: ServerResponse) => void res.writeHead(200).end() } = options;
  const seen: Exchange[] = [];

  function greet(res: ServerResponse, { message }: Exchange): void {
    const result = {
      protocolVersion: message?.params?.['protocolVersion'],
      capabilities: { tools: {}, logging: {} },
      serverInfo: { name: 'puppet', version: '1.0.0' },
    };
    if (sessionId !== null) res.setHeader('mcp-session-id', sessionId);
    answerJson(res, { jsonrpc: '2.0', id: message?.id ?? null, result });
  }

  function act(res: ServerResponse, exchange: Exchange): void {
    const { method, message } = exchange;
    if (method === 'GET' && onGet !== undefined) onGet(res, exchange);
    else if (method === 'GET') res.writeHead(405).end();
    else if (method === 'DELETE') onDelete(res, exchange);
    else if (message?.id === undefined) res.writeHead(202).end();
    else if (message.method === 'initialize') onInitialize(res, exchange);
    else if (message.method === 'tools/call' && onCall !== undefined) onCall(res, exchange);
    else if (onOther !== undefined) onOther(res, exchange);
    else answerJson(res, { jsonrpc: '2.0', id: message.id, result: {} });
  }

  const take = async (req: IncomingMessage, res: ServerResponse): Promise<void> => {
    const { method = '', headers, url = '' } = req;
    const body = await text(req);
    const message = body === '' ? undefined : (JSON.parse(body) as JsonRpc);
    const exchange = { method, headers, url, message };
    seen.push(exchange);
    act(res, exchange);
  };
  return { app: (req, res) => void take(req, res).catch(() => res.destroy()), seen };
}

export function answerJson(res: ServerResponse, message: unknown, status = 200): void {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(message));
}

/** The head of an event stream, and what comes on it, as it is. */
export function stream(res: ServerResponse, ...frames: string[]): ServerResponse {
  if (!res.headersSent) res.writeHead(200, { 'content-type': 'text/event-stream' });
  for (const frame of frames) res.write(frame);
  return res;
}

export function event(message: unknown, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(message)}\n\n`;
}

/** A log message of the server. */
export function logLine(data: string): JsonRpc {
  return {
    jsonrpc: '2.0',
    method: 'notifications/message',
    params: { level: 'info', data },
  };
}

export function resultOf(id: unknown, line = 'done'): JsonRpc {
  return { jsonrpc: '2.0', id, result: { content: [{ type: 'text', text: line }] } } as JsonRpc;
}
