/** The event log as an audit: followed live from another node, filtered, redacted, exported, and replayed into a state. */
import { describe, expect, it, onTestFinished } from 'vitest';
import type { EventOptions, Redact, SessionEvent } from '../../src/index.js';
import { redisBackplane, stateAt } from '../../src/index.js';
import { answers, hasMethod, request } from '../support/mcp-http.js';
import { connectRedis, redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { newGate } from './support/gate.js';
import type { Tools } from './support/scripted-server.js';
import { say } from './support/scripted-server.js';
import type { NodeOptions, TestNode } from './support/serve.js';
import { rawClient, startNode, startSession, STORES } from './support/serve.js';
import { eventually } from './support/signal.js';

const SECRET = 'xyzzy';

/** Reads events until the iteration ends. `seen` grows meanwhile. */
function follow({ mcp }: TestNode, id: string, options: EventOptions = {}) {
  const abort = new AbortController();
  onTestFinished(() => abort.abort());
  const seen: SessionEvent[] = [];
  const ended = (async () => {
    const given = { follow: true, pollMs: 20, signal: abort.signal, ...options };
    for await (const event of mcp.sessions.events(id, given)) seen.push(event);
  })();
  return {
    ...{ seen, ended, abort: () => abort.abort() },
    until: (count: number) => eventually(() => seen.length >= count),
  };
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

const tools: Tools = {
  talk: async ({ extra }) => {
    await say(extra, `said ${SECRET}`);
    return 'done';
  },
  ask: async ({ server, extra }) => {
    const answer = await server.elicitInput(
      { message: 'who?', requestedSchema: { type: 'object', properties: {} } },
      { relatedRequestId: extra.requestId },
    );
    return answer.action;
  },
};

describe.each(STORES)('over %s', (_, openStore) => {
  async function start(options: Omit<NodeOptions, 'backplane'> = {}) {
    const store = openStore();
    const capabilities = { elicitation: {} };
    const b = await startNode({ backplane: store(), tools, ...options });
    const a = await startSession({ backplane: store(), tools, ...options }, { capabilities });
    return { a, b, store, ...a };
  }
  const call = (text: string) => ({ name: 'echo', arguments: { text } });

  // Bug: a large `initialize` was stored twice, in the record of the session and in its log.
  it('events() shows a large initialize unchanged, which is stored in the record only', async () => {
    const { b, store } = await start();
    const experimental = { large: { text: 'x'.repeat(20_000) } };
    const client = rawClient();
    await client.initialize(b.url, { capabilities: { experimental } });
    const id = client.sessionId ?? '';
    const [shown] = await collect(b.mcp.sessions.events(id, { method: 'initialize' }));
    expect(shown?.message).toMatchObject({ id: 1, params: { capabilities: { experimental } } });
    const other = await startNode({ backplane: store() });
    const state = await other.mcp.sessions.stateAt(id);
    expect(state?.clientCapabilities).toEqual({ experimental });
  });

  describe('events() with `follow`, on another node', () => {
    it('returns each event once and in order, from whichever node, until it is aborted', async () => {
      const { a, b, client, sessionId } = await start();
      const following = follow(b, sessionId);
      await following.until(5);
      for (let at = 0; at < 20; at += 1) {
        await client.request(at % 2 === 0 ? a.url : b.url, 'tools/call', call(String(at)));
      }
      await following.until(45);
      following.abort();
      await following.ended;
      await client.request(a.url, 'ping');
      expect(following.seen).toHaveLength(45);
      expect(following.seen).toEqual(
        await collect(a.mcp.sessions.events(sessionId, { limit: 45 })),
      );
    });

    it('ends with the session, and its last event says so', async () => {
      const { b, client, url, sessionId } = await start();
      const following = follow(b, sessionId);
      await following.until(5);
      await client.delete(url);
      await following.ended;
      const last = following.seen.at(-1);
      expect(last).toMatchObject({ type: 'session.closed', message: undefined });
      expect(following.seen.filter(({ type }) => type === 'session.closed')).toHaveLength(1);
    });

    it('ends when its own node closes, and goes on when another one does', async () => {
      const { a, b, client, url, sessionId } = await start();
      const [here, there] = [follow(a, sessionId), follow(b, sessionId)];
      await Promise.all([here.until(5), there.until(5)]);
      const closed = expect(there.ended).rejects.toMatchObject({ code: 'closed' });
      await b.mcp.close({ drainMs: 0 });
      await closed;
      await client.request(url, 'tools/call', call('on'));
      await here.until(7);
    });

    it('ends at once without events for a session that does not exist', async () => {
      const { b } = await start();
      const following = follow(b, '00000000-0000-0000-0000-000000000000');
      await following.ended;
      expect(following.seen).toEqual([]);
    });

    it('does not keep the session alive', async () => {
      const { b, sessionId } = await start({ sessionTtlMs: 1_500 });
      const following = follow(b, sessionId);
      await following.ended;
      expect(following.seen.at(-1)?.type).toBe('session.closed');
    });
  });

  it('returns only what its options select: type, direction, method, range, number', async () => {
    const { b, client, url, sessionId } = await start();
    await client.request(url, 'tools/call', { name: 'talk', arguments: {} });
    await client.request(b.url, 'tools/call', call('x'));
    await client.request(b.url, 'ping');
    const all = await collect(b.mcp.sessions.events(sessionId));
    const some = async (options: EventOptions) =>
      (await collect(b.mcp.sessions.events(sessionId, options))).map(({ id }) => id);
    const where = (fits: (event: SessionEvent) => boolean) => all.filter(fits).map(({ id }) => id);
    expect(all).toHaveLength(12);

    expect(await some({ types: ['message.sent'] })).toEqual(
      where(({ type }) => type === 'message.sent'),
    );
    expect(await some({ types: [] })).toEqual([]);
    expect(await some({ direction: 'in' })).toEqual(where(({ direction }) => direction === 'in'));
    const isCall = ({ method }: SessionEvent) => method === 'tools/call';
    expect(await some({ method: 'tools/call' })).toEqual(where(isCall));
    expect(await some({ method: ['ping', 'tools/call'], direction: 'in' })).toEqual(
      where((event) => isCall(event) || event.method === 'ping'),
    );
    // An event has to meet all conditions.
    expect(await some({ method: 'tools/call', types: ['message.sent'] })).toEqual([]);

    const [from, to] = [all[4]?.id ?? '', all[8]?.id ?? ''];
    expect(await some({ after: from })).toEqual(all.slice(5).map(({ id }) => id));
    expect(await some({ after: from, limit: 3 })).toEqual(all.slice(5, 8).map(({ id }) => id));
    expect(await some({ after: from, method: 'tools/call', limit: 1 })).toEqual(
      where(isCall).slice(0, 1),
    );
    expect(await some({ limit: 0 })).toEqual([]);
    expect(await some({ after: all.at(-1)?.id })).toEqual([]);
    expect(await some({ after: from, until: to })).toEqual(all.slice(5, 9).map(({ id }) => id));
    expect(await some({ until: from, limit: 2 })).toEqual(all.slice(0, 2).map(({ id }) => id));
    // The iteration ends there, and does not wait for more.
    expect(await some({ until: from, follow: true })).toHaveLength(5);
    expect(await some({ until: all.at(-1)?.id, follow: true })).toHaveLength(12);
    expect(await some({ until: all.at(-1)?.id, follow: true, types: [] })).toEqual([]);
    // With a stream, all of one call and nothing else.
    const { stream } = all.find(isCall) ?? {};
    expect(await some({ stream })).toEqual(where((event) => event.stream === stream));
    expect(await some({ stream })).toHaveLength(3);
    expect(await some({ stream, direction: 'out', limit: 1 })).toHaveLength(1);
    expect(await some({ stream: 'nope' })).toEqual([]);
  });

  it('returns more events than fit into one page', async () => {
    const { b, client, url, sessionId } = await start();
    const { sessions } = b.mcp;
    for (let at = 0; at < 130; at += 1) {
      await b.mcp.session(sessionId).notify({ method: 'notifications/x', params: { at } });
    }
    await client.request(url, 'ping');
    const events = await collect(sessions.events(sessionId));
    expect(events).toHaveLength(137);
    const numbers = events.flatMap(
      ({ message }) => (message as { params?: { at?: number } } | undefined)?.params?.at ?? [],
    );
    expect(numbers).toEqual(Array.from({ length: 130 }, (_, at) => at));
  });

  it.each([
    [{ after: 'x' }, '`after` has to be the id of an event'],
    [{ after: '1-2-3' }, '`after` has to be the id of an event'],
    [{ until: '' }, '`until` has to be the id of an event'],
    [{ stream: 1 }, '`stream` has to be the name of a stream'],
    [{ limit: -1 }, '`limit` has to be a number of events'],
    [{ types: ['nope'] }, 'no event has the type "nope"'],
    [{ direction: 'up' }, "`direction` can only be 'in' or 'out'"],
    [{ method: 1 }, '`method` has to be a string'],
    [{ pollMs: 0 }, '`pollMs` has to be more than 0'],
  ])('throws for options that make no sense: %j', async (options, text) => {
    const { mcp, sessionId } = await start();
    expect(() => mcp.sessions.events(sessionId, options as EventOptions)).toThrow(text);
    expect(() => mcp.sessions.export(sessionId, options as EventOptions)).toThrow(TypeError);
  });

  describe('redact', () => {
    const redact: Redact = (message, { direction, type }) => {
      expect(['message.received', 'message.sent']).toContain(type);
      if (direction === 'out') return undefined;
      // `redact` gets a copy. Changes of it do not change what is stored or sent.
      if ('params' in message) message.params = { hidden: true };
      return message;
    };

    it('changes what events() and export() show, and nothing of what is stored, sent or resumed', async () => {
      const { a, b, store, client, url, sessionId } = await start({ redact });
      const id = client.nextId();
      const params = { name: 'talk', arguments: { secret: SECRET } };
      const { sse } = await client.post(url, request(id, 'tools/call', params));
      await sse.next(answers(id));
      const shown = [
        ...(await collect(b.mcp.sessions.export(sessionId))),
        JSON.stringify(await collect(a.mcp.sessions.events(sessionId, { method: 'tools/call' }))),
      ].join('');
      expect(shown).not.toContain(SECRET);
      expect(shown).toContain('"hidden":true');
      expect(shown).not.toContain('"direction":"out","message"');
      // The number of the event and its direction are still shown.
      const [asked] = await collect(a.mcp.sessions.events(sessionId, { method: 'tools/call' }));
      expect(asked).toMatchObject({ requestId: id, method: 'tools/call' });
      expect(asked?.unreadable).toBeUndefined();

      // The client gets the original, at once and when it resumes on the other node.
      const said = (messages: typeof sse.messages) =>
        messages.map((message) => message.params?.data).filter((data) => data !== undefined);
      expect(said(sse.messages)).toEqual([`said ${SECRET}`]);
      const resumed = await client.listen(b.url, { lastEventId: sse.primings[0]?.id ?? '' });
      await resumed.next(answers(id));
      expect(resumed.messages).toEqual(sse.messages);
      // Another node without `redact` shows the original, too.
      const c = await startNode({ backplane: store() });
      expect((await collect(c.mcp.sessions.export(sessionId))).join('')).toContain(SECRET);
    });

    it('rejects the iteration when it throws, and the next iteration starts anew', async () => {
      let fails = true;
      const { b, client, url, sessionId } = await start({
        redact: (message) => {
          if (fails) throw new Error('mine');
          return message;
        },
      });
      await client.request(url, 'ping');
      await expect(collect(b.mcp.sessions.events(sessionId))).rejects.toThrow('mine');
      const following = follow(b, sessionId);
      await expect(following.ended).rejects.toThrow('mine');
      expect(following.seen.map(({ type }) => type)).toEqual(['session.created']);
      fails = false;
      expect(await collect(b.mcp.sessions.events(sessionId))).toHaveLength(7);
      expect(await client.request(url, 'ping')).toMatchObject({ result: {} });
    });

    it('does not change what stateAt() is computed from', async () => {
      const { b, client, url, sessionId } = await start({ redact: () => undefined });
      await client.request(url, 'logging/setLevel', { level: 'warning' });
      expect(await b.mcp.sessions.stateAt(sessionId)).toMatchObject({
        ...{ complete: true, logLevel: 'warning', clientInfo: { name: 'raw' } },
      });
      const exported = await collect(b.mcp.sessions.export(sessionId));
      const parsed = exported.map((line) => JSON.parse(line) as SessionEvent);
      expect(await stateAt(parsed)).toMatchObject({ complete: false, received: 3, sent: 2 });
    });
  });

  it('export() as JSON Lines gives the same state at each event as the session had', async () => {
    const { a, b, client, url, sessionId } = await start();
    await client.request(b.url, 'logging/setLevel', { level: 'debug' });
    await client.request(url, 'resources/subscribe', { uri: 'a:1' });
    const asking = await client.post(b.url, request(50, 'tools/call', { name: 'ask' }));
    const { message } = await asking.sse.next(hasMethod('elicitation/create'));
    const meanwhile = await eventually(async () => {
      const state = await a.mcp.sessions.stateAt(sessionId);
      return state?.questions.length === 1 && state;
    });
    expect(meanwhile).toMatchObject({
      ...{ state: 'active', complete: true, logLevel: 'debug', subscriptions: ['a:1'] },
      ...{ protocolVersion: '2025-11-25', clientCapabilities: { elicitation: {} } },
      openRequests: [{ id: 50, method: 'tools/call', nodeId: b.mcp.nodeId }],
      questions: [{ id: message?.id, method: 'elicitation/create', nodeId: b.mcp.nodeId }],
    });
    await client.respond(url, message?.id ?? '', { action: 'decline' });
    await asking.answer(50);
    await client.request(url, 'resources/unsubscribe', { uri: 'a:1' });

    const lines = await collect(a.mcp.sessions.export(sessionId));
    for (const line of lines) expect(line).toMatch(/^\{"v":1,"session":"[^\n]*\}\n$/);
    const events = lines.map((line) => JSON.parse(line) as SessionEvent);
    const own = await collect(b.mcp.sessions.events(sessionId));
    const asJson = own.map((event) => ({ v: 1, session: sessionId, ...event }));
    expect(events).toEqual(JSON.parse(JSON.stringify(asJson)));
    for (const { id } of events) {
      expect(await stateAt(events, id)).toEqual(await b.mcp.sessions.stateAt(sessionId, id));
    }
    const info = await b.mcp.sessions.get(sessionId);
    expect(await stateAt(events)).toMatchObject({
      ...{ complete: true, openRequests: [], questions: [] },
      ...{ state: info?.state, logLevel: info?.logLevel, subscriptions: info?.subscriptions },
      ...{ clientInfo: info?.clientInfo, protocolVersion: info?.protocolVersion },
    });
    expect(await stateAt(events, meanwhile.eventId)).toEqual(meanwhile);
    expect(await b.mcp.sessions.stateAt('00000000-0000-0000-0000-000000000000')).toBeUndefined();
    await expect(b.mcp.sessions.stateAt(sessionId, 'x')).rejects.toThrow(TypeError);
  });

  it('events() reports what was trimmed before it was read, and a state from it is not complete', async () => {
    const { b, client, url, sessionId } = await start({ retention: { maxEvents: 10 } });
    const held = newGate();
    const seen: SessionEvent[] = [];
    const ended = (async () => {
      for await (const event of b.mcp.sessions.events(sessionId, { follow: true, pollMs: 20 })) {
        seen.push(event);
        if (seen.length === 5) await held.opened; // a reader that is slow
      }
    })();
    await eventually(() => seen.length === 5);
    for (let at = 0; at < 20; at += 1) await client.request(url, 'ping');
    held.open();
    await eventually(() => seen.length >= 16);
    await client.delete(url);
    await ended;
    const types = seen.map(({ type }) => type);
    expect(types.filter((type) => type === 'log.trimmed')).toHaveLength(1);
    expect(types.indexOf('log.trimmed')).toBe(5);
    expect(types.at(-1)).toBe('session.closed');
    const ids = seen.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(await stateAt(seen)).toMatchObject({ complete: false, state: 'closed' });
  });

  it('events() reports missing events after a start that is no longer kept', async () => {
    const { b, client, url, sessionId } = await start({ retention: { maxEvents: 10 } });
    const [, second] = await collect(b.mcp.sessions.events(sessionId));
    for (let at = 0; at < 20; at += 1) await client.request(url, 'ping');
    const events = await collect(b.mcp.sessions.events(sessionId, { after: second?.id }));
    expect(events.map(({ type }) => type).slice(0, 2)).toEqual(['log.trimmed', 'message.received']);
    expect(events).toHaveLength(11);
    expect(await b.mcp.sessions.stateAt(sessionId)).toMatchObject({ complete: false });
    // After the oldest event that is kept, nothing is known to be missing.
    const [first] = await collect(b.mcp.sessions.events(sessionId));
    expect(first?.type).not.toBe('log.trimmed');
  });
});

it('events() subscribes to nothing, holds no connection, and leaves none behind', async () => {
  const prefix = uniquePrefix();
  const backplane = () => redisBackplane({ redis: redisUrl(), prefix });
  const a = await startSession({ backplane: backplane(), tools });
  const b = await startNode({ backplane: backplane(), tools });
  const redis = connectRedis();
  const look = async () => {
    const channels = (await redis.pubsub('CHANNELS', `${prefix}:*`)) as string[];
    const keys = await redis.keys(`${prefix}:*`);
    return {
      channels: channels.sort(),
      keys: keys.filter((key) => !key.includes(':node:')).sort(),
    };
  };
  const before = await look();
  const warnings: Error[] = [];
  const onWarning = (warning: Error): void => void warnings.push(warning);
  process.on('warning', onWarning);
  onTestFinished(() => void process.off('warning', onWarning));
  const following = Array.from({ length: 30 }, () => follow(b, a.sessionId));
  await Promise.all(following.map(({ until }) => until(5)));
  expect(await look()).toEqual(before);
  for (const { abort } of following) abort();
  await Promise.all(following.map(({ ended }) => ended));
  expect(await look()).toEqual(before);
  expect(b.mcp.health()).toMatchObject({ streams: 0, sessions: 0 });
  expect(warnings).toEqual([]);
});
