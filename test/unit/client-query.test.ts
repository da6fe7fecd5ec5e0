import { describe, expect, it } from 'vitest';
import { mergedQuery } from '../../src/intercept/http/client-query.js';

describe('the query that is sent to `upstream`', () => {
  it('is the query of the client, unchanged, if the operator has none', () => {
    expect(mergedQuery('', '?a=%20b;c&&d')).toBe('?a=%20b;c&&d');
    expect(mergedQuery('?', '?a=1')).toBe('?a=1');
    expect(mergedQuery('?a=1', '')).toBe('?a=1');
    expect(mergedQuery('', '?')).toBe('');
  });

  it('has the parameters of the operator and further ones of the client', () => {
    expect(mergedQuery('?tenant=acme', '?page=2&x=%26tenant=other')).toBe(
      '?tenant=acme&page=2&x=%26tenant%3Dother',
    );
  });

  // Each server decides which of two parameters of a name it uses, and which names it treats as the same.
  it.each([
    ...[
      'tenant=x',
      'TENANT=x',
      '%74enant=x',
      'tenant[]=x',
      'tenant[a]=x',
      '[tenant]=x',
      'tenant%5B%5D=x',
    ],
    ...['tenant.id=x', 'tenant%00=x', '+tenant=x', 'tenant', '&&tenant=x&&', 'tenant=1&tenant=2'],
    ...['api.key=x', 'api%20key=x', 'api_key=x', 'API_KEY[]=x'],
  ])('has no parameter of the client that the operator sets: %s', (query) => {
    const operators = '?tenant=acme&api_key=1';
    const merged = mergedQuery(operators, `?${query}`);
    expect(merged).toBe(operators);
  });

  it('is split by the server at the same places as by this library', () => {
    const merged = mergedQuery('?tenant=acme', '?a=1;tenant=x&b=%3Btenant=x');
    expect(merged).toBe('?tenant=acme&a=1%3Btenant%3Dx&b=%3Btenant%3Dx');
  });
});
