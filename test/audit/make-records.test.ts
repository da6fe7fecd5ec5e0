/** The records that are made of the entries of an outbox. */
import { describe, expect, it } from 'vitest';
import type { LogEntry } from '../../src/backplane/backplane.js';
import type { OutboxEntry } from '../../src/backplane/roles/audit-outboxes.js';
import { digestOf, hashOf, saltOf } from '../../src/audit/chain.js';
import type { ChainState } from '../../src/audit/archiver/chain-state.js';
import { formatChain, newChain, parseChain } from '../../src/audit/archiver/chain-state.js';
import type { MakeOptions } from '../../src/audit/archiver/make-records.js';
import { makeRecords } from '../../src/audit/archiver/make-records.js';
import type { AuditRecord } from '../../src/audit/record.js';

const NODE = 'a123456789';
const OTHER = 'b123456789';
const STREAM = `${NODE}1`;

let counter = 0;

function logged(at: number, fields: Partial<LogEntry>): OutboxEntry {
  counter += 1;
  const entry: LogEntry = {
    ...{ logId: `${at}-0`, at, direction: 'in', stream: undefined, message: undefined },
    ...{ asker: undefined, ...fields },
  };
  return { id: `${counter}`, sessionId: 's', entry };
}

const received = (at: number, message: object, fields: Partial<LogEntry> = {}): OutboxEntry =>
  logged(at, {
    stream: STREAM,
    message: JSON.stringify({ jsonrpc: '2.0', ...message }),
    ...fields,
  });

const sent = (at: number, message: object, fields: Partial<LogEntry> = {}): OutboxEntry =>
  received(at, message, { direction: 'out', ...fields });

function created(at: number, principal = 'as:ada', initialize = '{}'): OutboxEntry {
  const note = { kind: 'session.created' as const, nodeId: NODE };
  return { ...logged(at, { note }), created: { principal }, initialize };
}

const call = (at: number, id: string | number, name = 'add', fields: Partial<LogEntry> = {}) =>
  received(at, { id, method: 'tools/call', params: { name } }, fields);

/** Makes records of entries, as one archiver after another would that stores the state after each entry. */
function make(
  entries: OutboxEntry[],
  options: Partial<MakeOptions> = {},
  begin = newChain(entries[0]?.entry.logId ?? ''),
): { records: AuditRecord[]; state: ChainState | undefined } {
  const records: AuditRecord[] = [];
  let state: ChainState | undefined = begin;
  for (const entry of entries) {
    state = parseChain(formatChain(state ?? newChain(entry.entry.logId)));
    if (state === undefined) throw new Error('the state cannot be parsed');
    const made = makeRecords(entry, state, records.length, { outbox: 'all', ...options });
    records.push(...made.records);
    state = made.state;
  }
  return { records, state };
}

const recordsOf = (...entries: OutboxEntry[]): AuditRecord[] => make(entries).records;
const last = (...entries: OutboxEntry[]): AuditRecord | undefined => recordsOf(...entries).at(-1);

describe('chain', () => {
  it('numbers the records of a session, and binds each to the one before', () => {
    const records = recordsOf(created(1), call(2, 1), sent(3, { id: 1, result: {} }));
    expect(records.map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(records.map(({ ordinal }) => ordinal)).toEqual([1, 2, 3]);
    expect(records.map(({ chain }) => chain)).toEqual(['1-0', '1-0', '1-0']);
    expect(records.map(({ previous }) => previous)).toEqual([
      '',
      ...records.slice(0, -1).map(({ hash }) => hash),
    ]);
    for (const record of records) expect(record.hash).toBe(hashOf(record));
  });

  it('makes the same records again from the same entries and the same stored state', () => {
    const entries = [created(1), call(2, 'x'), sent(3, { id: 'x', result: {} }), created(9)];
    const begin = formatChain(newChain('1-0'));
    const once = () => make(entries, {}, parseChain(begin)).records;
    expect(once()).toEqual(once());
    expect(new Set(once().map(({ hash }) => hash)).size).toBe(5);
  });

  it('ends with the end of its session', () => {
    const { records, state } = make([created(1), { ...logged(2, {}), ended: 'deleted' }]);
    expect(records.at(-1)).toMatchObject({ type: 'session.ended', reason: 'deleted', seq: 2 });
    expect(state).toBeUndefined();
  });

  it('ends when its session is created again, and another one begins', () => {
    const records = recordsOf(created(1), created(5, 'as:bob'));
    expect(records).toMatchObject([
      { type: 'session.created', chain: '1-0', seq: 1, principal: 'ada' },
      { type: 'session.ended', chain: '1-0', seq: 2, principal: 'ada', reason: 'expired' },
      { type: 'session.created', chain: '5-0', seq: 1, principal: 'bob', previous: '' },
    ]);
    expect(records.map(({ ordinal }) => ordinal)).toEqual([1, 2, 3]);
  });

  it('has a gap for entries that are missing', () => {
    const gap = { ...logged(7, {}), gap: { entries: 3, from: 4 } };
    expect(last(created(1), gap)).toMatchObject({ type: 'gap', missing: { entries: 3, from: 4 } });
  });
});

describe('state', () => {
  it.each(['', '{', '[]', '{"v":2}', '{"v":1,"secret":1}', '{"v":1,"open":[[]]}', 'x'.repeat(9)])(
    'is not taken from the malformed text %j',
    (text) => expect(parseChain(text)).toBeUndefined(),
  );

  it('forgets the oldest request if there are more than 1,000', () => {
    const calls = Array.from({ length: 1_001 }, (_, at) => call(at + 2, at));
    const { state } = make([created(1), ...calls.slice(0, 3)]);
    expect(state?.open.size).toBe(3);
    let chain = newChain('1-0');
    for (const each of calls) chain = makeRecords(each, chain, 0, { outbox: '' }).state ?? chain;
    expect(chain.open.size).toBe(1_000);
    expect([...chain.open.keys()][0]).toBe('in 1');
    expect(parseChain(formatChain(chain))).toEqual(chain);
  });

  it('stays small if the names and ids of requests are long', () => {
    let chain = newChain('1-0');
    for (let at = 0; at < 2_000; at += 1) {
      const entry = call(at + 2, `${at}${'i'.repeat(300)}`, 't'.repeat(10_000));
      chain = makeRecords(entry, chain, 0, { outbox: '' }).state ?? chain;
    }
    expect(formatChain(chain).length).toBeLessThan(300_000);
    expect(chain.open.size).toBeGreaterThan(100);
  });
});

describe('session', () => {
  const params = { clientInfo: { name: 'cli', version: '1.2' }, capabilities: {} };
  const initialize = (at: number, more = {}) =>
    received(at, { id: 0, method: 'initialize', ...more });
  const answer = sent(3, { id: 0, result: { protocolVersion: '2025-06-18' } });

  it('is described by principal, client and protocol, as soon as they are known', () => {
    const records = recordsOf(
      created(1, 'as:ada', JSON.stringify(params)),
      initialize(2, { params }),
      answer,
      call(4, 1),
    );
    const known = { principal: 'ada', client: 'cli 1.2' };
    expect(records).toMatchObject([
      known,
      { ...known, method: 'initialize' },
      { ...known, method: 'initialize', protocol: '2025-06-18', outcome: 'ok' },
      { ...known, protocol: '2025-06-18', tool: 'add' },
    ]);
    expect(records[1]).not.toHaveProperty('protocol');
  });

  it.each([
    ['anonymous', undefined],
    ['sse:as:ada', 'ada'],
  ])('with the stored principal %s has the principal %s', (stored, principal) => {
    expect(last(created(1, stored))?.principal).toBe(principal);
  });

  it('has the params of a large initialize, which the log has left out', () => {
    const large = { ...params, pad: 'x'.repeat(5_000) };
    const records = recordsOf(created(1, 'as:ada', JSON.stringify(large)), initialize(2), answer);
    expect(records[1]?.message).toMatchObject({ method: 'initialize', params: large });
    expect(records[2]).toMatchObject({ client: 'cli 1.2', outcome: 'ok' });
    const { state } = make([created(1, 'as:ada', JSON.stringify(large)), initialize(2)]);
    expect(state).not.toHaveProperty('initialize');
  });

  it('of HTTP+SSE has the client of an initialize that comes later', () => {
    const shown = { ...answer, initialize: JSON.stringify(params) };
    const records = recordsOf(created(1, 'sse:as:ada'), initialize(2, { params }), shown);
    expect(records[0]).not.toHaveProperty('client');
    expect(records[1]).toMatchObject({ client: 'cli 1.2' });
    expect(records[2]).toMatchObject({ client: 'cli 1.2', protocol: '2025-06-18' });
  });

  it('has no client if the params cannot be decoded', () => {
    expect(last(created(1, 'as:ada', ''))).not.toHaveProperty('client');
  });
});

describe('request', () => {
  it.each([
    ['ok', { result: { content: [] } }],
    ['tool_error', { result: { isError: true, content: [] } }],
    ['error', { error: { code: -32000, message: 'no' } }],
    ['lost', { error: { code: -32000, message: 'gone', data: { reason: 'node_lost' } } }],
  ] as const)('ends %s with the answer %j', (outcome, fields) => {
    const by = { by: OTHER };
    expect(last(created(1), call(2, 7), sent(52, { id: 7, ...fields }, by))).toMatchObject({
      ...{ type: 'message.sent', direction: 'out', method: 'tools/call', tool: 'add' },
      ...{ requestId: 7, outcome, durationMs: 50, receivedBy: NODE, ranOn: OTHER },
    });
  });

  it('has no outcome before it has ended', () => {
    const record = last(created(1), call(2, 7));
    expect(record).toMatchObject({ method: 'tools/call', tool: 'add', requestId: 7 });
    expect(record).toMatchObject({ direction: 'in', receivedBy: NODE, stream: STREAM });
    expect(record).not.toHaveProperty('outcome');
    expect(record).not.toHaveProperty('ranOn');
  });

  it('of the same id as a question of the server is told apart from it', () => {
    const ask = sent(3, { id: 7, method: 'sampling/createMessage' }, { by: NODE, asker: NODE });
    const [, , , answer, end] = recordsOf(
      ...[created(1), call(2, 7), ask],
      received(13, { id: 7, result: {} }, { stream: undefined, by: OTHER }),
      sent(22, { id: 7, result: {} }),
    );
    expect(answer).toMatchObject({ method: 'sampling/createMessage', durationMs: 10 });
    expect(answer).toMatchObject({ outcome: 'ok', direction: 'in', receivedBy: OTHER });
    expect(end).toMatchObject({ method: 'tools/call', durationMs: 20, outcome: 'ok' });
  });

  const cancel = received(
    5,
    { method: 'notifications/cancelled', params: { requestId: 7 } },
    { stream: undefined, by: OTHER },
  );

  it('that the client cancels ends when its stream ends', () => {
    const stop = logged(9, { direction: 'out', stream: STREAM });
    const [, , taken, end] = recordsOf(created(1), call(2, 7), cancel, stop);
    expect(taken).toMatchObject({ method: 'notifications/cancelled', requestId: 7, tool: 'add' });
    expect(taken).not.toHaveProperty('outcome');
    expect(end).toMatchObject({ type: 'request.cancelled', method: 'tools/call', requestId: 7 });
    expect(end).toMatchObject({ outcome: 'cancelled', durationMs: 7, tool: 'add' });
  });

  it('that the client cancels ends so with the error of JSON mode, too', () => {
    const error = { code: -32000, message: 'Request cancelled' };
    expect(last(created(1), call(2, 7), cancel, sent(9, { id: 7, error }))).toMatchObject({
      outcome: 'cancelled',
    });
  });

  it('that the server cancels ends with the cancellation', () => {
    const records = recordsOf(
      created(1),
      sent(2, { id: 'q', method: 'elicitation/create' }),
      sent(6, { method: 'notifications/cancelled', params: { requestId: 'q' } }),
      received(8, { id: 'q', result: {} }),
    );
    expect(records[2]).toMatchObject({ outcome: 'cancelled', durationMs: 4, requestId: 'q' });
    expect(records[3]).not.toHaveProperty('outcome');
  });

  it('of HTTP+SSE ends with its answer, and not with the mark that ends its stream', () => {
    const stream = `g.${STREAM}`;
    const [, , mark, answer] = recordsOf(
      ...[created(1), call(2, 7, 'add', { stream })],
      logged(9, { direction: 'out', stream }),
      sent(9, { id: 7, result: {} }, { stream: 'g', by: OTHER }),
    );
    expect(mark).not.toHaveProperty('outcome');
    expect(answer).toMatchObject({ outcome: 'ok', tool: 'add', durationMs: 7, ranOn: OTHER });
  });

  it('is not ended by a mark on the standalone stream', () => {
    const mark = logged(3, { direction: 'out', stream: STREAM, asker: NODE });
    const [, , , end] = recordsOf(created(1), call(2, 7), mark, sent(4, { id: 7, result: {} }));
    expect(end).toMatchObject({ outcome: 'ok' });
  });

  it('of a lost node has its outcome once, and the note that follows is about it', () => {
    const note = { kind: 'request.failed' as const, nodeId: OTHER, request: '7', from: NODE };
    const error = { code: -32000, message: 'gone', data: { reason: 'node_lost' } };
    const failed = logged(9, { note, stream: STREAM });
    const [, , end, after] = recordsOf(
      ...[created(1), call(2, 7), sent(9, { id: 7, error }, { by: OTHER }), failed],
    );
    expect(end).toMatchObject({ outcome: 'lost', ranOn: OTHER });
    expect(after).toMatchObject({ type: 'request.failed', tool: 'add', from: NODE, ranOn: OTHER });
    expect(after).not.toHaveProperty('outcome');
    expect(last(created(1), call(2, 7), failed)).toMatchObject({ outcome: 'lost', durationMs: 7 });
  });

  it('that another node runs again goes on', () => {
    const note = { kind: 'request.recovered' as const, nodeId: OTHER, request: '7', from: NODE };
    const [, , again, end] = recordsOf(
      ...[created(1), call(2, 7), logged(5, { note, stream: STREAM })],
      sent(9, { id: 7, result: {} }, { by: OTHER }),
    );
    expect(again).toMatchObject({ type: 'request.recovered', tool: 'add', requestId: 7 });
    expect(again).not.toHaveProperty('outcome');
    expect(end).toMatchObject({ outcome: 'ok', durationMs: 7, receivedBy: NODE, ranOn: OTHER });
  });

  it('keeps names short and storable, whatever the client has sent', () => {
    const record = last(created(1), call(2, 'x'.repeat(300), `\0\ud800${'t'.repeat(9_000)}`));
    expect(record?.tool).toHaveLength(256);
    expect(record?.tool?.slice(0, 3)).toBe('\ufffd\ufffdt');
    expect(record).not.toHaveProperty('requestId');
  });

  it.each(['null', '[]', '7', '{"method":5}', '{"method":"x","params":null}', '{"id":{}}', '{'])(
    'is not looked for in the malformed message %s',
    (message) => {
      expect(last(created(1), logged(2, { message, stream: STREAM }))).toMatchObject({ seq: 2 });
    },
  );
});

describe('message', () => {
  it('is kept with its digest', () => {
    const { records, state } = make([created(1), call(2, 7)]);
    const text = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add"}}';
    const salt = saltOf(state?.secret ?? '', 2);
    expect(records[1]).toMatchObject({ bytes: text.length, salt, digest: digestOf(salt, text) });
    expect(JSON.stringify(records[1]?.message)).toBe(text);
    expect(records[0]).not.toHaveProperty('digest');
  });

  it('that cannot be decoded is unreadable', () => {
    const record = last(created(1), logged(2, { stream: STREAM, unreadable: true }));
    expect(record).toMatchObject({ unreadable: true, type: 'message.received' });
    expect(record).not.toHaveProperty('digest');
  });

  it('that cannot be decoded is kept as it is stored, unless there is a `redact`', () => {
    const stored = { ...logged(2, { stream: STREAM, unreadable: true }), stored: 'secret' };
    const { records, state } = make([created(1), stored]);
    const digest = digestOf(saltOf(state?.secret ?? '', 2), 'secret');
    expect(records[1]).toMatchObject({ unreadable: true, sealed: 'secret', bytes: 6, digest });
    const redacted = make([created(1), stored], { redact: (message) => message }).records[1];
    expect(redacted).toMatchObject({ unreadable: true });
    expect(redacted).not.toHaveProperty('sealed');
  });

  it('is kept as `redact` shows it, while its fields are those of the whole message', () => {
    const seen: unknown[] = [];
    const { records } = make([created(1), call(2, 7)], {
      redact: (message, context) => {
        seen.push(context);
        return { ...message, params: { name: '***' } };
      },
    });
    expect(records[1]).toMatchObject({ tool: 'add', redacted: true });
    expect(records[1]?.message).toMatchObject({ params: { name: '***' } });
    expect(records[1]?.bytes).toBe(JSON.stringify(records[1]?.message).length);
    expect(seen).toMatchObject([{ sessionId: 's', id: '2-0', direction: 'in', at: 2 }]);
  });

  it('that `redact` leaves as it is does not count as redacted', () => {
    const { records } = make([created(1), call(2, 7)], { redact: (message) => ({ ...message }) });
    expect(records[1]).not.toHaveProperty('redacted');
    expect(records[1]?.message).toMatchObject({ id: 7 });
  });

  it('that `redact` changes in place counts as redacted', () => {
    const { records } = make([created(1), call(2, 7)], {
      redact: (message) => Object.assign(message, { params: { name: '?' } }),
    });
    expect(records[1]).toMatchObject({ redacted: true, message: { params: { name: '?' } } });
  });

  it.each([
    ['returns nothing', () => undefined],
    ['returns a number', () => 7],
    ['returns a bigint', () => ({ params: 7n })],
    [
      'throws',
      () => {
        throw new Error('no');
      },
    ],
  ])('is left out if `redact` %s', (_, redact) => {
    let failures = 0;
    const { records } = make([created(1), call(2, 7)], {
      redact: redact as never,
      onRedactFailed: () => (failures += 1),
    });
    expect(records[1]).toMatchObject({ redacted: true, tool: 'add' });
    for (const field of ['message', 'digest', 'bytes', 'salt']) {
      expect(records[1]).not.toHaveProperty(field);
    }
    expect(failures).toBe(_ === 'returns nothing' ? 0 : 1);
  });

  it('is encoded if that is wanted, and its digest is that of the clear text', () => {
    const sealWith = {
      encode: (text: string, { sessionId, kind }: { sessionId: string; kind: string }) =>
        `${sessionId} ${kind} ${Buffer.from(text).toString('base64')}`,
      decode: (text: string) => text,
    };
    const begin = formatChain(newChain('1-0'));
    const entries = [created(1), call(2, 7)];
    const { records } = make(entries, { sealWith }, parseChain(begin));
    const clear = make(entries, {}, parseChain(begin)).records;
    expect(records[1]).not.toHaveProperty('message');
    expect(records[1]?.sealed).toMatch(/^s message [\w+/=]+$/);
    expect(records[1]?.hash).toBe(clear[1]?.hash);
  });

  it('is not kept in clear if the codec cannot encode it', () => {
    const encode = () => {
      throw new Error('no key');
    };
    const sealWith = { encode, decode: (text: string) => text };
    expect(() => make([created(1), call(2, 7)], { sealWith })).toThrow('no key');
  });
});
