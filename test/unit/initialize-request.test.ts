import {
  DEFAULT_NEGOTIATED_PROTOCOL_VERSION as DEFAULT_OF_SDK,
  isInitializeRequest as sdkAccepts,
  SUPPORTED_PROTOCOL_VERSIONS as VERSIONS_OF_SDK,
} from '@modelcontextprotocol/sdk/types.js';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { isInitializeRequest } from '../../src/protocol/json/initialize-request.js';
import { isMessage } from '../../src/protocol/json/jsonrpc.js';
import {
  DEFAULT_NEGOTIATED_PROTOCOL_VERSION,
  SUPPORTED_PROTOCOL_VERSIONS,
} from '../../src/protocol/protocol-versions.js';

/** A request that has everything which a client may say. */
const FULL = {
  jsonrpc: '2.0',
  id: 1,
  method: 'initialize',
  params: {
    _meta: { progressToken: 'p' },
    protocolVersion: '2025-11-25',
    capabilities: {
      experimental: { x: {} },
      sampling: { context: {}, tools: {} },
      elicitation: { form: { applyDefaults: true }, url: {} },
      roots: { listChanged: true },
      tasks: {
        list: {},
        cancel: {},
        requests: { sampling: { createMessage: {} }, elicitation: { create: {} } },
      },
      extensions: { 'vendor/one': {} },
    },
    clientInfo: {
      name: 'client',
      version: '1',
      title: 'A client',
      icons: [{ src: 'data:,', mimeType: 'image/png', sizes: ['any'], theme: 'dark' }],
      websiteUrl: 'https://example.com',
      description: 'says what it is',
    },
  },
};

type Path = (string | number)[];

/** The paths of all values in a value, its own included. */
function pathsOf(value: unknown): Path[] {
  if (typeof value !== 'object' || value === null) return [[]];
  const entries: [string | number, unknown][] = Array.isArray(value)
    ? value.map((each: unknown, at) => [at, each])
    : Object.entries(value);
  return [
    [],
    ...entries.flatMap(([key, each]) => pathsOf(each).map((path): Path => [key, ...path])),
  ];
}

const WITHOUT = Symbol('without');

/** A copy of a value, with another value at a path, or without the one that is there. */
function withValue(value: unknown, [key, ...rest]: Path, other: unknown): unknown {
  if (key === undefined) return other;
  if (Array.isArray(value)) {
    return value.map((each: unknown, at) => (at === key ? withValue(each, rest, other) : each));
  }
  const fields = value as Record<string, unknown>;
  const changed = withValue(fields[key], rest, other);
  const { [key]: _, ...others } = fields;
  return changed === WITHOUT ? others : { ...others, [key]: changed };
}

const PATHS = pathsOf(FULL).filter((path) => path.length > 0);
const OTHERS = [WITHOUT, null, true, 0, 1.5, '', 'light', [], [1], ['x'], {}, { x: 1 }, { x: {} }];

/** Whether both refuse or both accept a value. The frame is checked before. */
function agree(value: unknown): boolean {
  return !isMessage(value) || isInitializeRequest(value) === sdkAccepts(value);
}

it('accepts a request with everything that a client may say', () => {
  expect(isMessage(FULL) && isInitializeRequest(FULL)).toBe(true);
});

it('accepts and refuses what the SDK does, with each part of a request left out or of another type', () => {
  const differing: unknown[] = [];
  let refused = 0;
  for (const path of PATHS) {
    for (const other of OTHERS) {
      const value = withValue(
        FULL,
        path,
        other === WITHOUT && Number.isInteger(path.at(-1)) ? null : other,
      );
      if (!agree(value)) differing.push([path.join('.'), value]);
      else if (!sdkAccepts(value)) refused += 1;
    }
  }
  expect(differing).toEqual([]);
  expect(refused).toBeGreaterThan(PATHS.length);
});

it('accepts and refuses what the SDK does, with several parts replaced by any JSON', () => {
  const change = fc.tuple(fc.constantFrom(...PATHS), fc.jsonValue());
  const changes = fc.array(change, { minLength: 1, maxLength: 3 });
  fc.assert(
    fc.property(changes, (list) => {
      // A path that an earlier change took away stays away.
      const value = list.reduce<unknown>((before, [path, other]) => {
        const isThere = pathsOf(before).some((each) => each.join('.') === path.join('.'));
        return isThere ? withValue(before, path, other) : before;
      }, FULL);
      return agree(value);
    }),
    { numRuns: 1000 },
  );
});

it('has the protocol versions of the SDK', () => {
  expect(SUPPORTED_PROTOCOL_VERSIONS).toEqual(VERSIONS_OF_SDK);
  expect(DEFAULT_NEGOTIATED_PROTOCOL_VERSION).toBe(DEFAULT_OF_SDK);
});
