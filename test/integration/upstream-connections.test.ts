/** How a node reaches a server at a URL, and what clients get if it cannot. */
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../rig/ports.js';
import { startNode as startProcess } from '../rig/processes.js';
import { request } from '../support/mcp-http.js';
import { mapEndpoint } from './support/map-endpoint.js';
import { puppet, type Puppet } from './support/puppet.js';
import { listen, mounted, openSession, rawClient, startNode } from './support/serve.js';
import { blackHole, mute } from './support/silent.js';

const INITIALIZE = {
  ...{ protocolVersion: '2025-11-25', capabilities: {} },
  clientInfo: { name: 'raw', version: '1' },
};
const CALL = { name: 'echo', arguments: {} };
/** A file of an authority that was made for these tests and signs nothing more, because its key is gone. */
const tls = (file: string): URL => new URL(`../support/tls/${file}`, import.meta.url);

async function secure(app: Puppet['app']): Promise<string> {
  const [key, cert] = [readFileSync(tls('key.pem')), readFileSync(tls('cert.pem'))];
  const server = createServer({ key, cert }, app).listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
}

describe('an address that does not answer', () => {
  const unreachable = { code: -32000, data: { reason: 'server_unreachable' } };

  it.each<[string, () => Promise<string>]>([
    ['nobody listens', async () => `http://127.0.0.1:${await freePort()}/mcp`],
    ['no connection comes about', async () => `http://127.0.0.1:${await blackHole()}/mcp`],
    ['no handshake of TLS comes about', async () => `https://127.0.0.1:${await mute()}/mcp`],
    ['it has no name', () => Promise.resolve('http://nobody.invalid/mcp')],
    ['its certificate is of nobody who is known', () => secure(puppet().app)],
    ['it speaks no TLS', async () => `https://127.0.0.1:${await plain()}/mcp`],
  ])('%s gives 503 within upstreamTimeoutMs, and is logged once', async (_, upstreamOf) => {
    const upstream = await upstreamOf();
    const node = await startNode({ server: undefined, upstream, upstreamTimeoutMs: 300 });
    const begin = Date.now();
    for (let count = 0; count < 2; count += 1) {
      const refused = await rawClient().post(node.url, request(1, 'initialize', INITIALIZE));
      expect(refused.status).toBe(503);
      expect(refused.headers['retry-after']).toBe('1');
      expect(JSON.parse(refused.body)).toMatchObject({ id: 1, error: unreachable });
    }
    // The operating system would try to connect for two minutes.
    expect(Date.now() - begin).toBeLessThan(10_000);
    expect(node.logged).toHaveLength(1);
    expect(node.logged[0]).toContain(new URL(upstream).origin);
  });

  async function plain(): Promise<number> {
    const server = await startNode({ server: undefined, handler: mapEndpoint().handler });
    return Number(new URL(server.url).port);
  }
});

// Bug: closing waited for the answers to DELETE for `upstreamTimeoutMs`, and with owners even before it ended a stream.
it.each(['any', 'owner'] as const)(
  'a server that does not answer DELETE does not delay the closing of a node (affinity %s)',
  async (affinity) => {
    const upstream = await listen(puppet({ onDelete: () => undefined }).app);
    const given = { affinity, commandTimeoutMs: 200, upstreamTimeoutMs: 600_000 };
    const { mcp, url } = await startNode({ server: undefined, upstream, ...given });
    await openSession(url);
    // The test fails by its time limit before `upstreamTimeoutMs` is over.
    await mcp.close({ drainMs: 0 });
    expect(mcp.health().sessions).toBe(0);
  },
);

describe('over TLS', () => {
  const script = new URL('../../demo/node.ts', import.meta.url);

  it('a server with a certificate of a private authority is reached with NODE_EXTRA_CA_CERTS', async () => {
    const UPSTREAM = await secure(mounted(mapEndpoint().handler));
    const env = { UPSTREAM, NODE_EXTRA_CA_CERTS: fileURLToPath(tls('ca.pem')) };
    const known = await startProcess({ script, env });
    onTestFinished(() => known.stop());
    const { client } = await openSession(`${known.url}/mcp`);
    for (let count = 0; count < 3; count += 1) {
      const { result } = await client.request(`${known.url}/mcp`, 'tools/call', CALL);
      expect(result).toMatchObject({ content: [{ text: '{}' }] });
    }
    // The twin: without the variable the certificate is refused.
    const stranger = await startProcess({ script, env: { UPSTREAM } });
    onTestFinished(() => stranger.stop());
    await expect(openSession(`${stranger.url}/mcp`)).rejects.toThrow('Expected 200, got 503');
    expect(stranger.output).toMatch(/UNABLE_TO_VERIFY_LEAF_SIGNATURE/);
  });
});
