import { describe, expect, it } from 'vitest';
import { parseAnsweredId } from '../../src/protocol/json/parse-stored.js';

describe('the id of a stored answer', () => {
  it.each<[string, unknown]>([
    ['{"result":{"a":1},"jsonrpc":"2.0","id":5}', 5],
    ['{"result":{},"jsonrpc":"2.0","id":-5}', -5],
    [String.raw`{"result":{},"jsonrpc":"2.0","id":"a\"},\\"}`, 'a"},\\'],
    ['{"jsonrpc":"2.0","id":"b","result":{"x":{"id":7}}}', 'b'],
    ['{"jsonrpc":"2.0","id":"b","error":{"code":1,"message":"m","id":7}}', 'b'],
    [String.raw`{"id":1,"result":{},"a,\"id":2}`, 1],
    [String.raw`{"id":1,"result":{},"a":",\"id\":2}"}`, 1],
    ['{"id":1,"result":{},"id":2}', 2],
    [`{"result":{},"id":"${'x'.repeat(3_000)}"}`, 'x'.repeat(3_000)],
    ['{"result":{},"jsonrpc":"2.0","id":1.5}', 1.5],
    ['{"result":{},"jsonrpc":"2.0","id":null}', undefined],
    ['{"result":{},"jsonrpc":"2.0"}', undefined],
    ['null', undefined],
    ['{"result"', undefined],
  ])('of %s', (text, id) => {
    expect(parseAnsweredId(text)).toBe(id);
  });

  // Each answer of a batch was parsed whole to get its id. A hundred answers of half a megabyte took a second.
  it('is found without parsing a large answer', () => {
    const nothing = '['.repeat(2_000_000);
    expect(parseAnsweredId(`{"result":${nothing},"jsonrpc":"2.0","id":"a"}`)).toBe('a');
  });
});
