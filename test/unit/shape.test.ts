import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Effect } from '../../src/backplane/backplane.js';
import type { JsonRpcRequest } from '../../src/protocol/json/jsonrpc.js';
import type { Shape } from '../../src/replica/session-shape.js';
import {
  effectOf,
  requestsBetween,
  shapeOf,
  UNSHAPED,
  withEffect,
  withoutEffect,
} from '../../src/replica/session-shape.js';

function request(method: string, params?: Record<string, unknown>): JsonRpcRequest {
  return { jsonrpc: '2.0', id: 1, method, ...(params !== undefined && { params }) };
}

describe('effectOf', () => {
  it.each([
    ['logging/setLevel', { level: 'debug' }, { type: 'level', level: 'debug' }],
    ['resources/subscribe', { uri: 'a://b' }, { type: 'subscribe', uri: 'a://b' }],
    ['resources/unsubscribe', { uri: 'a://b' }, { type: 'unsubscribe', uri: 'a://b' }],
    ['logging/setLevel', { level: 3 }, undefined],
    ['logging/setLevel', undefined, undefined],
    ['resources/subscribe', {}, undefined],
    ['resources/read', { uri: 'a://b' }, undefined],
    ['tools/call', { name: 'logging/setLevel' }, undefined],
  ])('of %s %j is %j', (method, params, effect) => {
    expect(effectOf(request(method, params))).toEqual(effect);
  });
});

const uri = fc.constantFrom('a://1', 'a://2', 'a://3');
const shape: fc.Arbitrary<Shape> = fc.record({
  initialize: fc.constant('{}'),
  protocolVersion: fc.constant('2025-06-18'),
  active: fc.constant(true),
  logLevel: fc.option(fc.constantFrom('debug', 'info', 'error'), { nil: undefined }),
  subscriptions: fc.array(uri).map((uris) => new Set(uris)),
});
const effect: fc.Arbitrary<Effect> = fc.oneof(
  fc.record({ type: fc.constant('level' as const), level: fc.constantFrom('debug', 'error') }),
  fc.record({ type: fc.constantFrom('subscribe' as const, 'unsubscribe' as const), uri }),
);

/** Returns the shape that a server has after the requests. */
function carryOut(from: Shape, requests: { method: string; params: object }[]): Shape {
  let reached = from;
  for (const { method, params } of requests) {
    const change = effectOf(request(method, { ...params }));
    if (change !== undefined) reached = withEffect(reached, change);
  }
  return reached;
}

describe('requestsBetween', () => {
  it('returns the requests that bring a server from one shape to any other', () => {
    fc.assert(
      fc.property(shape, shape, (from, to) => {
        // No request can remove a log level.
        fc.pre(to.logLevel !== undefined || from.logLevel === undefined);
        expect(carryOut(from, requestsBetween(from, to))).toEqual(to);
      }),
    );
  });

  it('returns no request if nothing has changed', () => {
    fc.assert(
      fc.property(shape, (same) => {
        expect(requestsBetween(same, same)).toEqual([]);
      }),
    );
  });

  it('returns the level and every subscription for a fresh server', () => {
    const stored = shapeOf({
      id: 's',
      revision: '3',
      initialize: '{}',
      protocolVersion: '2025-06-18',
      principal: 'anonymous',
      createdAt: 0,
      lastSeenAt: 0,
      active: true,
      logLevel: 'warning',
      errors: 0,
      subscriptions: ['a://1', 'a://2'],
      owner: undefined,
    });
    expect(requestsBetween(UNSHAPED, stored)).toEqual([
      { method: 'logging/setLevel', params: { level: 'warning' } },
      { method: 'resources/subscribe', params: { uri: 'a://1' } },
      { method: 'resources/subscribe', params: { uri: 'a://2' } },
    ]);
  });
});

describe('an effect', () => {
  it('is carried out by the requests from the shape without it to the shape with it', () => {
    fc.assert(
      fc.property(shape, effect, (before, change) => {
        const after = withEffect(before, change);
        const requests = requestsBetween(withoutEffect(after, change), after);
        expect(
          requests.map(({ method, params }) => effectOf(request(method, { ...params }))),
        ).toEqual([change]);
      }),
    );
  });

  it('does not change the shape that it is applied to', () => {
    fc.assert(
      fc.property(shape, effect, (before, change) => {
        const copy = { ...before, subscriptions: new Set(before.subscriptions) };
        withEffect(before, change);
        withoutEffect(before, change);
        expect(before).toEqual(copy);
      }),
    );
  });
});
