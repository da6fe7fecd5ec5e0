/** Serves the page on this machine, to the person who has started it: on a loopback address, behind a one-time token. */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pathOf } from './incoming.js';
import { sendText, setSafeHeaders } from './reply.js';

export interface LocalPage {
  /** The address with the token, to be opened once. */
  url: string;
  close(): Promise<void>;
}

const HOST = '127.0.0.1';
const TEXT = 'text/plain; charset=utf-8';

/**
 * Listens on a port of the loopback address. The first request with the token gets a cookie instead of it. Later requests need the
 * cookie, so the token in the history of a browser or of a shell is worth nothing.
 */
export async function serveLocally(
  port: number,
  handle: (req: IncomingMessage, res: ServerResponse) => Promise<void>,
): Promise<LocalPage> {
  let token: string | undefined = secret();
  const cookie = secret();
  const server = createServer((req, res) => {
    setSafeHeaders(res);
    const { port: bound } = server.address() as AddressInfo;
    if (!isOwnHost(req.headers.host, bound)) {
      sendText(res, 403, TEXT, 'This page is for this machine only\n');
      return;
    }
    const name = `anynode_${bound}`;
    const given = new URL(req.url ?? '/', 'http://localhost').searchParams.get('token');
    if (given !== null && pathOf(req.url) === '/') {
      if (token !== undefined && isEqual(given, token)) {
        token = undefined;
        res.setHeader('Set-Cookie', `${name}=${cookie}; HttpOnly; SameSite=Strict; Path=/`);
      } else if (!isEqual(cookieOf(req, name), cookie)) {
        sendText(res, 403, TEXT, USED);
        return;
      }
      res.statusCode = 303;
      res.setHeader('Location', '/');
      return void res.end();
    }
    if (!isEqual(cookieOf(req, name), cookie)) {
      sendText(res, 403, TEXT, USED);
      return;
    }
    void handle(req, res);
  });
  server.listen(port, HOST);
  await once(server, 'listening');
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${HOST}:${bound}/?token=${token}`,
    async close() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

const USED =
  'Open the address that the command has printed. Its token can be used once; start the command again for another one.\n';

function secret(): string {
  return randomBytes(24).toString('base64url');
}

function isEqual(given: string | undefined, secretText: string): boolean {
  if (given === undefined) return false;
  const [a, b] = [Buffer.from(given), Buffer.from(secretText)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** A page of another site may reach this server by a DNS name of its own. Then `Host` has that name. */
function isOwnHost(host: string | undefined, port: number): boolean {
  return host === `${HOST}:${port}` || host === `localhost:${port}` || host === `[::1]:${port}`;
}

function cookieOf({ headers }: IncomingMessage, name: string): string | undefined {
  for (const part of (headers.cookie ?? '').split(';')) {
    const [key, value] = part.trim().split('=');
    if (key === name) return value;
  }
  return undefined;
}
