/** Requests of an MCP client, written by hand. */
import type { Connection, Reading, Reply } from './connection.js';

const VERSION = '2025-11-25';

export interface Session {
  id: string;
  nextRequest: number;
}

const HOST = 'Host: 127.0.0.1\r\n';
const POST =
  `POST /mcp HTTP/1.1\r\n${HOST}Accept: application/json, text/event-stream\r\n` +
  'Content-Type: application/json\r\n';

function ofSession({ id }: Session): string {
  return `Mcp-Session-Id: ${id}\r\nMcp-Protocol-Version: ${VERSION}\r\n`;
}

function post(message: object, session?: Session): string {
  const body = JSON.stringify({ jsonrpc: '2.0', ...message });
  const whose = session === undefined ? '' : ofSession(session);
  return `${POST}${whose}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

/** Opens a session with `initialize` and `notifications/initialized`, as every client does. */
export async function openSession(connection: Connection): Promise<Session> {
  const begun = await connection.send(
    post({
      ...{ id: 0, method: 'initialize' },
      params: {
        protocolVersion: VERSION,
        capabilities: { elicitation: {} },
        clientInfo: { name: 'bench', version: '1.0.0' },
      },
    }),
  );
  expectStatus(begun, 200, 'initialize');
  if (!begun.body.includes('"serverInfo"')) throw new Error(`No handshake: ${begun.body}`);
  const id = /\r\nmcp-session-id: *([^\r]+)/i.exec(begun.head)?.[1];
  if (id === undefined) throw new Error('The answer to initialize names no session');
  const session = { id, nextRequest: 1 };
  const told = await connection.send(post({ method: 'notifications/initialized' }, session));
  expectStatus(told, 202, 'initialized');
  return session;
}

/** The tools that return what they were sent. The second one is annotated as a tool that changes nothing. */
export type EchoTool = 'echo' | 'echo-read-only';

export interface EchoOptions {
  /** Default: `echo`. */
  tool?: EchoTool;
  /** The length to which the tool fills up its answer. Left out: the answer is the text that was sent. */
  length?: number;
}

/** Calls an echo tool. Throws if the answer does not belong to this call. */
export async function callEcho(
  connection: Connection,
  session: Session,
  { tool: name = 'echo', length }: EchoOptions = {},
): Promise<void> {
  const id = (session.nextRequest += 1);
  // The full stop ends the number. An answer that is filled up goes on with more of them.
  const params = { name, arguments: { text: `hello ${id}.`, length } };
  const reply = await connection.send(post({ id, method: 'tools/call', params }, session));
  expectStatus(reply, 200, 'tools/call');
  const isWhole = reply.body.includes(`"hello ${id}.`) && reply.body.length >= (length ?? 0);
  if (!isWhole || !reply.body.includes(`"id":${id}`)) {
    throw new Error(`Not the answer to call ${id}: ${reply.body}`);
  }
}

export function callTool(
  connection: Connection,
  session: Session,
  name: string,
  reading: Reading,
): Promise<Reply> {
  const id = (session.nextRequest += 1);
  const params = { name, arguments: {} };
  return connection.send(post({ id, method: 'tools/call', params }, session), reading);
}

/** Answers a request of the server. */
export async function answer(
  connection: Connection,
  session: Session,
  id: string | number,
  result: object,
): Promise<void> {
  expectStatus(await connection.send(post({ id, result }, session)), 202, 'an answer');
}

export function listenRequest(session: Session, lastEventId: string | undefined): string {
  const cursor = lastEventId === undefined ? '' : `Last-Event-ID: ${lastEventId}\r\n`;
  return `GET /mcp HTTP/1.1\r\n${HOST}Accept: text/event-stream\r\n${ofSession(session)}${cursor}\r\n`;
}

export async function deleteSession(connection: Connection, session: Session): Promise<void> {
  const reply = await connection.send(
    `DELETE /mcp HTTP/1.1\r\n${HOST}${ofSession(session)}Content-Length: 0\r\n\r\n`,
  );
  expectStatus(reply, 200, 'DELETE');
}

export function expectStatus(reply: Reply, status: number, to: string): void {
  if (reply.status === status) return;
  throw new Error(`${to} was answered with ${reply.status}: ${reply.body}`);
}
