import { JSONRPCMessageSchema } from '@modelcontextprotocol/sdk/types.js';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  isMessage,
  isNotification,
  isRequest,
  isResponse,
} from '../../src/protocol/json/jsonrpc.js';

function sdkAccepts(value: unknown): boolean {
  return JSONRPCMessageSchema.safeParse(value).success;
}

const TASK = 'io.modelcontextprotocol/related-task';

const corpus: unknown[] = [
  // Messages.
  { jsonrpc: '2.0', id: 1, method: 'ping' },
  { jsonrpc: '2.0', id: 0, method: 'ping' },
  { jsonrpc: '2.0', id: '', method: '' },
  { jsonrpc: '2.0', id: -7, method: 'ping', params: {} },
  { jsonrpc: '2.0', id: 'a', method: 'x', params: { _meta: { progressToken: 0 }, more: [1] } },
  { jsonrpc: '2.0', id: 'a', method: 'x', params: { _meta: { [TASK]: { taskId: 't' } } } },
  { jsonrpc: '2.0', method: 'notifications/initialized' },
  { jsonrpc: '2.0', method: 'notifications/x', params: { _meta: { anything: 1 } } },
  { jsonrpc: '2.0', id: 1, result: {} },
  { jsonrpc: '2.0', id: 1, result: { _meta: { x: 1 }, tools: [] } },
  { jsonrpc: '2.0', id: 1, error: { code: -32000, message: 'no' } },
  { jsonrpc: '2.0', id: 1, error: { code: -32000, message: 'no', data: null } },
  { jsonrpc: '2.0', error: { code: -32700, message: 'no id' } },
  { jsonrpc: '2.0', id: 1, error: { code: 1, message: 'no', extra: true } },
  // Almost messages.
  null,
  undefined,
  1,
  'ping',
  [],
  [{ jsonrpc: '2.0', id: 1, method: 'ping' }],
  {},
  { jsonrpc: '1.0', id: 1, method: 'ping' },
  { jsonrpc: 2, id: 1, method: 'ping' },
  { id: 1, method: 'ping' },
  { jsonrpc: '2.0' },
  { jsonrpc: '2.0', id: 1 },
  { jsonrpc: '2.0', id: null, method: 'ping' },
  { jsonrpc: '2.0', id: 1.5, method: 'ping' },
  { jsonrpc: '2.0', id: 2 ** 53, method: 'ping' },
  { jsonrpc: '2.0', id: true, method: 'ping' },
  { jsonrpc: '2.0', id: undefined, method: 'ping' },
  { jsonrpc: '2.0', id: 1, method: 7 },
  { jsonrpc: '2.0', id: 1, method: null },
  { jsonrpc: '2.0', id: 1, method: undefined },
  { jsonrpc: '2.0', id: 1, method: 'ping', extra: 1 },
  { jsonrpc: '2.0', id: 1, method: 'ping', params: [] },
  { jsonrpc: '2.0', id: 1, method: 'ping', params: null },
  { jsonrpc: '2.0', id: 1, method: 'ping', params: undefined },
  { jsonrpc: '2.0', id: 1, method: 'ping', params: 'x' },
  { jsonrpc: '2.0', id: 1, method: 'ping', params: { _meta: null } },
  { jsonrpc: '2.0', id: 1, method: 'ping', params: { _meta: [] } },
  { jsonrpc: '2.0', id: 1, method: 'ping', params: { _meta: undefined } },
  { jsonrpc: '2.0', id: 1, method: 'ping', params: { _meta: { progressToken: null } } },
  { jsonrpc: '2.0', id: 1, method: 'ping', params: { _meta: { progressToken: 1.5 } } },
  { jsonrpc: '2.0', id: 1, method: 'ping', params: { _meta: { [TASK]: {} } } },
  { jsonrpc: '2.0', id: 1, method: 'ping', params: { _meta: { [TASK]: null } } },
  { jsonrpc: '2.0', id: 1, result: {}, error: { code: 1, message: 'both' } },
  { jsonrpc: '2.0', id: 1, method: 'ping', result: {} },
  { jsonrpc: '2.0', id: 1, result: null },
  { jsonrpc: '2.0', id: 1, result: [] },
  { jsonrpc: '2.0', id: 1, result: 'x' },
  { jsonrpc: '2.0', id: 1, result: undefined },
  { jsonrpc: '2.0', result: {} },
  { jsonrpc: '2.0', id: null, result: {} },
  { jsonrpc: '2.0', id: null, error: { code: 1, message: 'x' } },
  { jsonrpc: '2.0', id: 1, error: { code: 1.5, message: 'x' } },
  { jsonrpc: '2.0', id: 1, error: { code: '1', message: 'x' } },
  { jsonrpc: '2.0', id: 1, error: { code: 1 } },
  { jsonrpc: '2.0', id: 1, error: { message: 'x' } },
  { jsonrpc: '2.0', id: 1, error: null },
  { jsonrpc: '2.0', id: 1, error: [] },
  JSON.parse('{"jsonrpc":"2.0","id":1,"method":"ping","__proto__":{"a":1}}'),
  JSON.parse('{"jsonrpc":"2.0","id":1,"method":"ping","params":{"__proto__":{"a":1}}}'),
  JSON.parse('{"jsonrpc":"2.0","id":1,"method":"ping","params":{"constructor":1}}'),
];

describe('isMessage accepts what the SDK accepts, and refuses what the SDK refuses', () => {
  it.each(corpus.map((value) => [value]))('%j', (value) => {
    expect(isMessage(value)).toBe(sdkAccepts(value));
  });

  const id = fc.oneof(fc.integer(), fc.string({ maxLength: 3 }));
  const oddity = fc.oneof(
    id,
    fc.constantFrom<unknown>(null, undefined, 1.5, true, {}, [], Number.MAX_SAFE_INTEGER + 1),
    fc.jsonValue({ maxDepth: 1 }),
  );
  const meta = fc.record(
    {
      progressToken: fc.oneof({ weight: 9, arbitrary: id }, oddity),
      [TASK]: fc.oneof(
        { weight: 3, arbitrary: fc.record({ taskId: fc.string() }) },
        fc.record({ taskId: oddity }),
        oddity,
      ),
      more: oddity,
    },
    { requiredKeys: [] },
  );
  const params = fc.oneof(
    { weight: 3, arbitrary: fc.record({ _meta: meta, more: oddity }, { requiredKeys: ['_meta'] }) },
    fc.record({ _meta: oddity }),
    fc.dictionary(fc.string(), oddity),
  );
  const error = fc.record({ code: fc.integer(), message: fc.string(), data: oddity });
  const jsonrpc = fc.constant('2.0');
  const whole = fc.oneof(
    fc.record(
      { jsonrpc, id, method: fc.string(), params },
      { requiredKeys: ['jsonrpc', 'id', 'method'] },
    ),
    fc.record({ jsonrpc, method: fc.string(), params }),
    fc.record({ jsonrpc, id, result: params }),
    fc.record({ jsonrpc, id, error }),
  );
  const key = fc.constantFrom('jsonrpc', 'id', 'method', 'params', 'result', 'error', 'extra');
  const broken = fc
    .tuple(
      whole,
      fc.array(fc.tuple(key, fc.boolean(), fc.oneof(oddity, params, error)), { maxLength: 2 }),
    )
    .map(([message, changes]) => {
      const entries = new Map<string, unknown>(Object.entries(message));
      for (const [name, removed, value] of changes) {
        if (removed) entries.delete(name);
        else entries.set(name, value);
      }
      return Object.fromEntries(entries);
    });

  it('of anything that looks like one, or almost', () => {
    const verdicts = { accepted: 0, refused: 0 };
    fc.assert(
      fc.property(fc.oneof({ weight: 19, arbitrary: broken }, fc.anything()), (value) => {
        verdicts[sdkAccepts(value) ? 'accepted' : 'refused'] += 1;
        expect(isMessage(value)).toBe(sdkAccepts(value));
      }),
      { numRuns: 5000 },
    );
    // Enough generated values have to be messages, or the comparison means little.
    expect(Math.min(verdicts.accepted, verdicts.refused)).toBeGreaterThan(500);
  });
});

it('isRequest, isNotification and isResponse are true for exactly one kind of message each', () => {
  for (const value of corpus) {
    if (!isMessage(value)) continue;
    const kinds = [isRequest(value), isNotification(value), isResponse(value)];
    expect(kinds.filter(Boolean)).toHaveLength(1);
  }
});
