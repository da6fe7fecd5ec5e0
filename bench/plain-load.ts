/** A load generator on bare `node:http`, with one session and one keep-alive connection per worker. */
import { Agent, request } from 'node:http';
import type { IncomingHttpHeaders } from 'node:http';

export interface Load {
  /** Calls per second. */
  rate: number;
  /** Latencies in milliseconds. */
  p50: number;
  p99: number;
}

/** Calls `echo` from `concurrency` sessions at once, until `calls` calls are done. Throws if an answer is wrong. */
export async function run(url: string, concurrency: number, calls: number): Promise<Load> {
  const agent = new Agent({ keepAlive: true, maxSockets: concurrency });
  try {
    const workers = await Promise.all(
      Array.from({ length: concurrency }, () => openSession(url, agent)),
    );
    const latencies: number[] = [];
    let left = calls;
    const begin = performance.now();
    await Promise.all(
      workers.map(async (sessionId) => {
        while (left > 0) {
          left -= 1;
          const start = performance.now();
          await call(url, agent, sessionId, calls - left);
          latencies.push(performance.now() - start);
        }
      }),
    );
    const seconds = (performance.now() - begin) / 1000;
    latencies.sort((a, b) => a - b);
    const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? 0;
    return { rate: calls / seconds, p50: at(0.5), p99: at(0.99) };
  } finally {
    agent.destroy();
  }
}

const VERSION = '2025-11-25';

async function openSession(url: string, agent: Agent): Promise<string> {
  const params = {
    protocolVersion: VERSION,
    capabilities: {},
    clientInfo: { name: 'bench', version: '1.0.0' },
  };
  const { headers } = await post(url, agent, {}, { id: 0, method: 'initialize', params });
  const sessionId = String(headers['mcp-session-id']);
  await post(url, agent, { 'mcp-session-id': sessionId }, { method: 'notifications/initialized' });
  return sessionId;
}

async function call(url: string, agent: Agent, sessionId: string, id: number): Promise<void> {
  const params = { name: 'echo', arguments: { text: `hello ${id}` } };
  const headers = { 'mcp-session-id': sessionId };
  const { body } = await post(url, agent, headers, { id, method: 'tools/call', params });
  if (!body.includes(`hello ${id}`)) throw new Error(`Not the answer to call ${id}: ${body}`);
}

function post(
  url: string,
  agent: Agent,
  headers: Record<string, string>,
  message: object,
): Promise<{ headers: IncomingHttpHeaders; body: string }> {
  return new Promise((resolve, reject) => {
    const text = JSON.stringify({ jsonrpc: '2.0', ...message });
    const sent = request(
      url,
      {
        agent,
        method: 'POST',
        headers: {
          accept: 'application/json, text/event-stream',
          'content-type': 'application/json',
          'content-length': Buffer.byteLength(text),
          'mcp-protocol-version': VERSION,
          ...headers,
        },
      },
      (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (body += chunk));
        response.on('end', () => resolve({ headers: response.headers, body }));
        response.on('error', reject);
      },
    );
    sent.on('error', reject);
    sent.end(text);
  });
}
