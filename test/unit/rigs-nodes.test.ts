import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startNginx } from '../rig/nginx.js';
import { startNode, type NodeProcess } from '../rig/processes.js';
import { RawClient } from '../support/mcp-http.js';

const script = new URL('./fixtures/echo-node.ts', import.meta.url);

async function echoNode(name: string): Promise<NodeProcess> {
  const node = await startNode({ script, env: { NODE_NAME: name } });
  onTestFinished(() => node.stop());
  return node;
}

describe('startNode', () => {
  it('reports where the node serves, and answers calls', async () => {
    const node = await echoNode('one');
    expect(node.nodeId).toBe('one');
    expect((await fetch(node.url)).headers.get('x-node')).toBe('one');
    expect(await node.call<number>('double', { n: 21 })).toBe(42);
    await expect(node.call('fail')).rejects.toMatchObject({
      name: 'RangeError',
      message: 'out of range',
    });
    await expect(node.call('unknown')).rejects.toThrow("no method 'unknown'");
  });

  it('rejects a call when the node cannot answer any more', async () => {
    const node = await echoNode('one');
    const call = expect(node.call('hang')).rejects.toThrow('ended before it answered');
    node.kill('SIGKILL');
    await call;
    expect(await node.exited).toEqual({ code: null, signal: 'SIGKILL' });
    await expect(node.call('double', { n: 1 })).rejects.toThrow('has ended');
  });

  it('shows the output of a node that did not start', async () => {
    await expect(startNode({ script, env: { NODE_NAME: 'broken' } })).rejects.toThrow(
      /This node was told to break/,
    );
  });

  it('ends a paused node', async () => {
    const node = await echoNode('one');
    node.kill('SIGSTOP');
    await node.stop({ graceMs: 10 });
    expect(await node.exited).toEqual({ code: null, signal: 'SIGKILL' });
  });
});

// This needs `setpriv` for Redis and nginx, which every Linux has.
it.runIf(process.platform === 'linux')(
  'child processes end when their parent is killed',
  async () => {
    // The parent gets its own folder, because it cannot clean up when it is killed.
    const tmp = await mkdtemp(join(tmpdir(), 'anynode-parent-'));
    onTestFinished(() => rm(tmp, { recursive: true, force: true }));
    const script = new URL('./fixtures/parent.ts', import.meta.url);
    const parent = await startNode({ script, env: { TMPDIR: tmp } });
    const ports = await parent.call<Record<string, number>>('ports');
    const sockets = Object.values(ports).map((port) => connect(port, '127.0.0.1'));
    await Promise.all(sockets.map((socket) => once(socket, 'connect')));
    const ends = sockets.map((socket) => {
      // A reset is an acceptable end. Without this listener, `once` would reject.
      socket.on('error', () => undefined).resume();
      return new Promise((resolve) => socket.once('close', resolve));
    });
    parent.kill('SIGKILL');
    await Promise.all(ends);
  },
);

describe('startNginx', () => {
  it('sends requests to the nodes in turn, with the Host of the client', async () => {
    const nodes = [await echoNode('one'), await echoNode('two')];
    const nginx = await startNginx({ upstreams: nodes.map(({ port }) => port) });
    onTestFinished(nginx.stop);
    const names: (string | null)[] = [];
    for (let i = 0; i < 4; i++) {
      const { headers } = await fetch(nginx.url);
      names.push(headers.get('x-node'));
      expect(headers.get('x-host')).toBe(new URL(nginx.url).host);
    }
    expect(names.slice(0, 2).sort()).toEqual(['one', 'two']);
    expect(names.slice(2)).toEqual(names.slice(0, 2));
  });

  it('passes the first byte of a stream on at once, and goes on when one node is dead', async () => {
    const [one, two] = [await echoNode('one'), await echoNode('two')];
    const nginx = await startNginx({ upstreams: [one.port, two.port] });
    onTestFinished(nginx.stop);
    const client = new RawClient();
    onTestFinished(() => client.close());
    const stream = await client.listen(`${nginx.url}/stream`);
    expect(await stream.comment()).toBe('open');

    await one.stop();
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) statuses.push((await fetch(nginx.url)).status);
    expect(statuses.sort()).toEqual([200, 200, 502, 502]);
  });
});
