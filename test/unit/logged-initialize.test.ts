import { expect, it } from 'vitest';
import type { JsonRpcRequest } from '../../src/protocol/json/jsonrpc.js';
import { loggedInitialize } from '../../src/replica/initialize/logged-initialize.js';

const request = (name: string): JsonRpcRequest => ({
  ...{ jsonrpc: '2.0', id: 'a', method: 'initialize' },
  params: { clientInfo: { name } },
});

it('the log has a small initialize whole, and a large one without its params', () => {
  const small = request('x');
  expect(loggedInitialize(small, JSON.stringify(small.params))).toBe(JSON.stringify(small));
  const large = request('x'.repeat(2_000));
  expect(loggedInitialize(large, JSON.stringify(large.params))).toBe(
    '{"jsonrpc":"2.0","id":"a","method":"initialize"}',
  );
});
