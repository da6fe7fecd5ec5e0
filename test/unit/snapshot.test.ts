import { describe, expect, it } from 'vitest';
import type { LogEntry, Note } from '../../src/backplane/backplane.js';
import { stateAt, type SessionEvent } from '../../src/index.js';
import { eventOf } from '../../src/operator/event-of-entry.js';
import { jsonLine } from '../../src/operator/export-lines.js';

const NODE = 'abcdefghij';

/** A log of these entries. The id of the n-th entry is `n-0`. */
function log(...entries: Partial<LogEntry>[]): SessionEvent[] {
  return entries.map((entry, index) =>
    eventOf({
      ...{ logId: `${index + 1}-0`, at: 1000 + index, direction: 'in' },
      ...{ stream: undefined, message: undefined, asker: undefined, ...entry },
    }),
  );
}

const text = (message: object): string => JSON.stringify({ jsonrpc: '2.0', ...message });
const note = (kind: Note['kind'], more: Partial<Note> = {}) => ({
  note: { kind, nodeId: NODE, ...more },
});
const call = (id: unknown, method: string, params: object = {}) => ({
  stream: `${NODE}${String(id)}`,
  message: text({ id, method, params }),
});
const said = (message: object) => ({ message: text(message) });
const answer = (id: unknown, result: object = {}) => ({
  ...{ direction: 'out' as const, stream: `${NODE}${String(id)}` },
  message: text({ id, result }),
});
const ask = (id: string, method: string) => ({
  ...{ direction: 'out' as const, stream: 'g', asker: NODE },
  message: text({ id, method }),
});
const handshake = [
  note('session.created'),
  call(0, 'initialize', { clientInfo: { name: 'c', version: '1' }, capabilities: { roots: {} } }),
  answer(0, { protocolVersion: '2025-06-18' }),
];

describe('stateAt', () => {
  it('shows each step of the handshake', async () => {
    const events = log(...handshake, said({ method: 'notifications/initialized' }));
    const states = await Promise.all(events.map(({ id }) => stateAt(events, id)));
    expect(states.map(({ state }) => state)).toEqual([
      ...['initialized', 'initialized', 'initialized', 'active'],
    ]);
    expect(states.map(({ openRequests }) => openRequests.length)).toEqual([0, 1, 0, 0]);
    expect(states[1]?.protocolVersion).toBeUndefined();
    expect(states[3]).toMatchObject({
      ...{ eventId: '4-0', at: 1003, complete: true, received: 2, sent: 1 },
      clientInfo: { name: 'c', version: '1' },
      clientCapabilities: { roots: {} },
      protocolVersion: '2025-06-18',
    });
  });

  it('has a change that was answered with a result, and none that was only requested', async () => {
    const events = log(
      ...handshake,
      call(1, 'logging/setLevel', { level: 'debug' }),
      call(2, 'resources/subscribe', { uri: 'a:1' }),
      answer(2),
      { ...answer(1), message: text({ id: 1, error: { code: -1, message: 'no' } }) },
      call(3, 'logging/setLevel', { level: 'error' }),
      answer(3),
      call(4, 'resources/subscribe', { uri: 'a:2' }),
      answer(4),
      call(5, 'resources/unsubscribe', { uri: 'a:1' }),
      answer(5),
    );
    const at = async (n: number) => {
      const { logLevel, subscriptions } = await stateAt(events, `${n}-0`);
      return { logLevel, subscriptions };
    };
    expect(await at(5)).toEqual({ logLevel: undefined, subscriptions: [] });
    expect(await at(7)).toEqual({ logLevel: undefined, subscriptions: ['a:1'] });
    expect(await at(9)).toEqual({ logLevel: 'error', subscriptions: ['a:1'] });
    expect(await at(13)).toEqual({ logLevel: 'error', subscriptions: ['a:2'] });
  });

  it('shows running requests, and requests that wait for the client', async () => {
    const events = log(
      ...handshake,
      call(1, 'tools/call', { name: 'a' }),
      call('1', 'tools/call', { name: 'b' }),
      ask(`${NODE}.1`, 'sampling/createMessage'),
      ask(`${NODE}.2`, 'roots/list'),
      said({ id: `${NODE}.1`, result: {} }),
      note('request.recovered', { nodeId: 'other', request: '1', from: NODE }),
      said({ method: 'notifications/cancelled', params: { requestId: '1' } }),
      { direction: 'out', stream: `${NODE}1` },
      { ...answer(1), message: text({ id: 1, error: { code: -32000, message: 'gone' } }) },
      note('request.failed', { request: '1' }),
      {
        ...ask('x', 'x'),
        message: text({ method: 'notifications/cancelled', params: { requestId: `${NODE}.2` } }),
      },
    );
    const seven = await stateAt(events, '7-0');
    expect(seven.openRequests).toEqual([
      { id: 1, method: 'tools/call', stream: `${NODE}1`, since: 1003, nodeId: NODE },
      { id: '1', method: 'tools/call', stream: `${NODE}1`, since: 1004, nodeId: NODE },
    ]);
    expect(seven.questions.map(({ id, method }) => [id, method])).toEqual([
      [`${NODE}.1`, 'sampling/createMessage'],
      [`${NODE}.2`, 'roots/list'],
    ]);
    expect((await stateAt(events, '8-0')).questions).toMatchObject([{ id: `${NODE}.2` }]);
    expect((await stateAt(events, '9-0')).openRequests[0]).toMatchObject({ nodeId: 'other' });
    expect((await stateAt(events, '10-0')).openRequests).toMatchObject([{ id: 1 }]);
    expect(await stateAt(events)).toMatchObject({
      openRequests: [],
      questions: [],
      complete: true,
    });
  });

  it('says when the log is incomplete', async () => {
    const all = log(...handshake, call(1, 'logging/setLevel', { level: 'info' }), answer(1));
    expect((await stateAt(all)).complete).toBe(true);
    const trimmed = await stateAt(all.slice(3));
    expect(trimmed).toMatchObject({ complete: false, state: 'unknown', logLevel: 'info' });
    expect(await stateAt([])).toMatchObject({ complete: false, eventId: undefined });
    const gap = { ...all[0], type: 'log.trimmed', id: '3-1' } as SessionEvent;
    expect((await stateAt(all.toSpliced(3, 0, gap))).complete).toBe(false);
    const unreadable = log(...handshake, { message: 'aes1.k.AAAA' });
    expect(unreadable[3]).toMatchObject({ type: 'message.received', unreadable: true });
    expect((await stateAt(unreadable)).complete).toBe(false);
    // This log was begun by a node of an older release.
    expect((await stateAt(log(...handshake.slice(1)))).complete).toBe(true);
  });

  it('accepts exported events, and ids between two events', async () => {
    const events = log(...handshake, call(1, 'tools/call'));
    const lines = events.map((event) => jsonLine('s', event));
    for (const line of lines) expect(line).toMatch(/^\{"v":1,"session":"s",[^\n]*\}\n$/);
    const parsed = lines.map((line) => JSON.parse(line) as SessionEvent);
    expect(await stateAt(parsed)).toEqual(await stateAt(events));
    expect((await stateAt(parsed, '3-77')).eventId).toBe('3-0');
    expect((await stateAt(parsed, '0-1')).eventId).toBeUndefined();
    await expect(stateAt(parsed, 'x')).rejects.toThrow(TypeError);
  });

  it('shows the end of the session', async () => {
    const closed = { ...log(note('session.created'))[0], type: 'session.closed', id: '99-1' };
    const events = [...log(...handshake, call(1, 'tools/call')), closed as SessionEvent];
    expect(await stateAt(events)).toMatchObject({ state: 'closed', openRequests: [] });
  });
});
