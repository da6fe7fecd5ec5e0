/**
 * As `wire-equality.test.ts`, with random bodies and content types. If ours refuses what the SDK accepts, some client
 * breaks. If ours accepts what the SDK refuses, servers get what they were never tested with.
 */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { request } from '../support/mcp-http.js';
import { MODES, PARAMS, same, sideBySide } from './support/side-by-side.js';

type Fields = Record<string, unknown>;

const meta = (value: unknown): Fields => ({ _meta: value });
const oddities = fc.constantFrom<unknown>(
  ...[null, true, 0, -1, 1.5, 2 ** 53, '', 'x', '2.0', '1.0', [], [1], {}],
  ...[null, [], {}, { progressToken: 1 }, { progressToken: 1.5 }, { progressToken: null }].map(
    meta,
  ),
  ...['task', { taskId: 't' }, { taskId: 1 }, null, {}].map((task) =>
    meta({ 'io.modelcontextprotocol/related-task': task }),
  ),
  ...[
    { code: 1, message: 'm' },
    { code: 1.5, message: 'm' },
    { code: 1, message: null },
  ],
  ...[{ code: 1, message: 'm', data: 1, more: 1 }, { name: 'echo' }, PARAMS],
);
const ids = fc.oneof(fc.integer(), fc.string({ maxLength: 4 }), fc.constantFrom<unknown>(0, null));
const methods = fc.constantFrom('ping', 'tools/list', 'no/such', 'notifications/x', 'initialize');

/** Messages that look like a request, a notification, a result or an error, with up to two wrong fields. */
const messages = fc
  .record({
    fields: fc.oneof(
      fc.record({ id: ids, method: methods }),
      fc.record({ method: methods, params: oddities }),
      fc.record({ id: ids, method: methods, params: oddities }),
      fc.record({ id: ids, result: oddities }),
      fc.record({ id: ids, error: oddities }),
    ),
    changes: fc.array(
      fc.record({
        name: fc.constantFrom('jsonrpc', 'id', 'method', 'params', 'result', 'error', 'more'),
        value: fc.option(oddities, { nil: undefined }),
      }),
      { maxLength: 2 },
    ),
  })
  .map(({ fields, changes }): Fields => {
    const changed = changes.map(({ name, value }) => [name, value] as const);
    return { jsonrpc: '2.0', ...fields, ...Object.fromEntries(changed) };
  });

/** Two messages of one body with the same id are an intended difference. */
const batches = fc.uniqueArray(messages, {
  maxLength: 4,
  selector: ({ id }) => JSON.stringify(id),
});
const bodies = fc.oneof(messages, batches, fc.json({ maxDepth: 2 }));

it.each(MODES)('%s: accepts and refuses the same bodies as the SDK', async (...mode) => {
  const both = await sideBySide(mode);
  const statuses = new Set<number>();
  const property = fc.asyncProperty(bodies, async (body) => {
    statuses.add((await same(both, { body })).status);
  });
  await fc.assert(property, { numRuns: 250 });
  expect([...statuses].sort()).toEqual([200, 202, 400]);
});

const separators = fc.constantFrom(';', ',', '=', '"', '\\', ' ', '; ', 'a', 'charset=utf-8', 'é');
const contentTypes = fc
  .tuple(
    fc.constantFrom('application/json', 'Application/JSON', ' application/json ', 'text/plain', ''),
    fc.array(separators, { maxLength: 8 }),
  )
  .map(([type, rest]) => type + rest.join(''));

it('accepts and refuses the same content types as the SDK', async () => {
  const [mode] = MODES;
  if (mode === undefined) throw new Error('There are no modes');
  const both = await sideBySide(mode);
  const statuses = new Set<number>();
  const property = fc.asyncProperty(contentTypes, async (type) => {
    const step = { body: request(1, 'ping'), headers: { 'content-type': type } };
    statuses.add((await same(both, step)).status);
  });
  await fc.assert(property, { numRuns: 300 });
  expect([...statuses].sort()).toEqual([200, 415]);
});
