import { Agent, request, type IncomingMessage } from 'node:http';
import { createParser } from 'eventsource-parser';
import type { RawClient } from '../../support/mcp-http.js';

export interface Received {
  id: string;
  /** Of a log message. */
  data: string;
}

export interface Leg {
  received: Received[];
  /** The last complete cursor, that of a priming event included. */
  lastEventId: string | undefined;
  /** Destroys the connection, if that was not done before. */
  close: () => void;
}

/**
 * Follows the standalone stream through one connection until `bytes` of its body have come, which as a rule is in the
 * middle of an event. What comes after them is thrown away as if it had been lost on the way.
 *
 * `leave` keeps the connection open and unread, as a balancer does that hides a dead client.
 */
export function readUntilCut(
  url: string,
  client: Pick<RawClient, 'sessionId' | 'protocolVersion'>,
  options: { lastEventId: string | undefined; bytes: number; leave: boolean },
): Promise<Leg> {
  const { bytes, leave } = options;
  const received: Received[] = [];
  let { lastEventId } = options;
  const parser = createParser({
    onEvent: ({ id, data }) => {
      lastEventId = id ?? lastEventId;
      if (data === '') return;
      const { params } = JSON.parse(data) as { params: { data: string } };
      received.push({ id: id ?? '', data: params.data });
    },
  });
  let left = bytes;
  return new Promise((resolve, reject) => {
    const outgoing = request(url, {
      agent: new Agent({ keepAlive: false }),
      headers: {
        accept: 'text/event-stream',
        'mcp-session-id': client.sessionId,
        'mcp-protocol-version': client.protocolVersion,
        ...(options.lastEventId !== undefined && { 'last-event-id': options.lastEventId }),
      },
    });
    const finish = (response: IncomingMessage): void => {
      response.removeAllListeners('data');
      if (leave) response.pause();
      else response.destroy();
      response.on('error', () => undefined);
      resolve({ received, lastEventId, close: () => void response.destroy() });
    };
    outgoing.on('error', reject);
    outgoing.on('response', (response) => {
      if (response.statusCode !== 200) {
        reject(new Error(`The node answered ${response.statusCode ?? 0}`));
        return;
      }
      response.once('error', reject);
      response.once('end', () => reject(new Error('The server ended the stream')));
      response.on('data', (chunk: Buffer) => {
        // The bytes of a chunk are ASCII here, so cutting them cuts no character.
        parser.feed(chunk.subarray(0, left).toString());
        left -= chunk.length;
        if (left <= 0) finish(response);
      });
    });
    outgoing.end();
  });
}
