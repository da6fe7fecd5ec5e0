/**
 * As `wire-equality.test.ts`, with bodies and content types that nobody thought of: a frame that the SDK takes and we
 * refuse breaks some client's odd habit, and the other way round lets through what no server was tested with.
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

/** What could be a request, a notification, a result or an error, with up to two fields put wrong. */
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

/** Two messages of one body with the same id are a difference that is meant. */
const batches = fc.uniqueArray(messages, {
  maxLength: 4,
  selector: ({ id }) => JSON.stringify(id),
});
const bodies = fc.oneof(messages, batches, fc.json({ maxDepth: 2 }));

it.each(MODES)('%s: accepts and refuses the bodies that the SDK does', async (...mode) => {
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

it('takes and refuses the content types that the SDK does', async () => {
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
