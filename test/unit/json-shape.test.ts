import { describe, expect, it } from 'vitest';
import { exceededBy, exceededByValue } from '../../src/protocol/json/json-shape.js';

const MOST = { depth: 3, values: 10 };

describe('the shape of a JSON text', () => {
  it.each<[string, ReturnType<typeof exceededBy>]>([
    ['[[[1]]]', undefined],
    ['[[[[1]]]]', 'depth'],
    ['{"a":{"b":{"c":{}}}}', 'depth'],
    ['[1,2,3,4,5,6,7,8,9]', undefined],
    ['[1,2,3,4,5,6,7,8,9,10]', 'values'],
    ['{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10}', 'values'],
    ['["[[[[,,,,,,,,,,,,,,,,,,,"]', undefined],
    [String.raw`["\"[[[[[\\","\\\"{{{{{{"]`, undefined],
    [String.raw`["\\",[[[[[[[[[[]]]]]]]]]]]`, 'depth'],
    [`[${'7'.repeat(200)}]`, undefined],
    [`[[[${'7'.repeat(200)},[1]]]]`, 'depth'],
    [`[${'7'.repeat(200)},1,1,1,1,1,1,1,1,1]`, 'values'],
    ['7'.repeat(200), undefined],
    [`[]${'[]'.repeat(20)}`, 'values'],
    [`${']'.repeat(100)}[[`, undefined],
    [`"${'\\'.repeat(99)}`, undefined],
  ])('of %s', (text, exceeded) => {
    expect(exceededBy(text, MOST)).toBe(exceeded);
  });

  it.each([
    '[[[1]]]',
    '[[[[1]]]]',
    '{"a":{"b":{"c":{}}}}',
    '[1,2,3,4,5,6,7,8,9]',
    '[1,2,3,4,5,6,7,8,9,10]',
    '{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10}',
    '"a"',
    'null',
  ])('is the same for the text and the value: %s', (text) => {
    expect(exceededByValue(JSON.parse(text), MOST)).toBe(exceededBy(text, MOST));
  });

  it('of a value is found without visiting more values than the limit', () => {
    let visited = 0;
    const counted = Array.from({ length: 100 }, () => new Proxy([0], { ownKeys: () => [] }));
    const watched = counted.map(
      (each) =>
        new Proxy(each, {
          get: (target, name) => ((visited += 1), Reflect.get(target, name) as unknown),
        }),
    );
    expect(exceededByValue([watched, watched], { depth: 100, values: 50 })).toBe('values');
    expect(visited).toBe(0);
  });

  // A recursive function would overflow the stack.
  it('is found without recursion and in linear time', () => {
    const before = process.cpuUsage();
    const deep = '['.repeat(5_000_000);
    expect(exceededBy(deep, { depth: 1e7, values: 1e7 })).toBeUndefined();
    const string = `"${'\\"'.repeat(5_000_000)}"`;
    expect(exceededBy(string, MOST)).toBeUndefined();
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(1000);
  });
});
