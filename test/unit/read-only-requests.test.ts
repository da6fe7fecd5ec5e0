import { describe, expect, it } from 'vitest';
import type { ReplicaTransport } from '../../src/replica/replica-transport.js';
import { ReadOnlyRequests } from '../../src/replica/requests/read-only-requests.js';

const list = { jsonrpc: '2.0' as const, id: 1, method: 'tools/list' };
const call = (name: string) => ({
  ...{ jsonrpc: '2.0' as const, id: 2, method: 'tools/call' },
  params: { name },
});
const answer = (result: unknown) => ({ jsonrpc: '2.0' as const, id: 1, result }) as never;
const readOnly = (...names: string[]) => ({
  tools: names.map((name) => ({ name, annotations: { readOnlyHint: true } })),
});

/** A server object that answers `tools/list` when the test says so. */
function newServer() {
  const asked: ((result: unknown) => void)[] = [];
  const query = () => new Promise((resolve) => asked.push((result) => resolve(answer(result))));
  return { asked, transport: { query, closed: false } as unknown as ReplicaTransport };
}

describe('the requests that change nothing', () => {
  it('do not include a tool of another server whose list has a name twice', () => {
    const requests = new ReadOnlyRequests();
    const { transport } = newServer();
    requests.learn(list, answer(readOnly('a', 'b')), transport);
    const others = new ReadOnlyRequests();
    others.learn(list, answer(readOnly('a', 'a')), transport);
    expect(others.includes(call('a'), transport)).toBe(true);
    expect(others.includes(call('b'), transport)).toBe(false);
  });

  it.each([
    ...[null, undefined, 1, 'tools', [], { tools: 1 }, { tools: [null, 1, 'a', []] }],
    ...[{ tools: [{ name: 'a', annotations: null }] }],
    ...[{ tools: [{ name: 'a', annotations: { readOnlyHint: 'true' } }] }],
  ])('are learned from %j without an error, and include no tool', (result) => {
    const requests = new ReadOnlyRequests();
    const { transport } = newServer();
    requests.learn(list, answer(result), transport);
    expect(requests.includes(call('a'), transport)).toBe(false);
  });

  it('are not learned from a list that was asked for before it changed', async () => {
    const requests = new ReadOnlyRequests();
    const { asked, transport } = newServer();
    const handle = () => requests.learn(call('a'), answer({}), transport);
    handle();
    handle();
    requests.forget();
    handle();
    asked[0]?.(readOnly('a'));
    await new Promise((resolve) => setImmediate(resolve));
    expect(requests.includes(call('a'), transport)).toBe(false);
    handle();
    asked[1]?.(readOnly('a'));
    await expect.poll(() => requests.includes(call('a'), transport)).toBe(true);
  });
});
