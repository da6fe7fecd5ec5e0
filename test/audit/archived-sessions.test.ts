/** Sessions of a trail are read as those of the cluster that it was made of. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { ArchiveOptions, Trail } from '../../src/audit/index.js';
import { archive, archivedSessions, openTrail } from '../../src/audit/index.js';
import { aesGcmCodec } from '../../src/codec/index.js';
import type { Redact } from '../../src/index.js';
import { redisBackplane } from '../../src/index.js';
import type { Tools } from '../integration/support/scripted-server.js';
import type { NodeOptions } from '../integration/support/serve.js';
import { startSession } from '../integration/support/serve.js';
import type { PostgresServer } from '../rig/postgres.js';
import { startPostgres } from '../rig/postgres.js';
import { request } from '../support/mcp-http.js';
import { redisUrl, uniquePrefix } from '../support/redis-fixture.js';
import { all } from './support/records.js';

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server.stop());

async function newDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'anynode-trail-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

const codec = aesGcmCodec({ keys: { k1: Buffer.alloc(32, 7) }, current: 'k1' });

const tools: Tools = {
  ask: async ({ server: mcp, extra }) => {
    const answer = await mcp.elicitInput(
      { message: 'who?', requestedSchema: { type: 'object', properties: {} } },
      { relatedRequestId: extra.requestId },
    );
    return answer.action;
  },
  fail: () => ({ isError: true, content: [] }),
};

/** A session in which much has happened, and a call that still runs. */
async function busySession(options: Omit<NodeOptions, 'backplane'> = {}) {
  const prefix = uniquePrefix();
  const backplane = redisBackplane({ redis: redisUrl(), prefix });
  const given = { backplane, tools, audit: {}, principal: () => 'ada', ...options };
  const node = await startSession(given, { capabilities: { elicitation: {} } });
  const { client, url, mcp, sessionId: id } = node;
  await client.request(url, 'logging/setLevel', { level: 'warning' });
  await client.request(url, 'resources/subscribe', { uri: 'file:///a' });
  await client.request(url, 'tools/call', { name: 'echo', arguments: { text: 'hello' } });
  await client.request(url, 'tools/call', { name: 'fail', arguments: {} });
  await client.request(url, 'no/such/method', {});
  await mcp.session(id).notify({
    method: 'notifications/message',
    params: { level: 'error', data: 'told' },
  });
  const first = await client.listen(url);
  const { id: lastEventId = '' } = await first.next();
  first.close();
  const again = await client.listen(url, { lastEventId });
  onTestFinished(() => again.close());
  await client.post(url, request(client.nextId(), 'tools/call', { name: 'ask', arguments: {} }));
  const live = () => all(mcp.sessions.events(id));
  await expect.poll(async () => (await live()).at(-1)?.method).toBe('elicitation/create');
  const archiveTo = async (sink: string, more: Partial<ArchiveOptions> = {}): Promise<Trail> => {
    const { codec: nodeCodec } = options;
    const archiver = archive({ redis: redisUrl(), prefix, sink, codec: nodeCodec, ...more });
    await archiver.delivered();
    await archiver.close();
    const trail = openTrail(sink);
    onTestFinished(() => trail.close());
    return trail;
  };
  return { ...node, id, live, archiveTo };
}

describe.each([
  ['a directory', newDirectory],
  ['PostgreSQL', () => server.createDatabase()],
])('a session archived in %s', (_, newTarget) => {
  it('has the events and the states that the cluster shows', async () => {
    const { id, mcp, live, archiveTo } = await busySession();
    const sessions = archivedSessions(await archiveTo(await newTarget()));
    const events = await live();
    expect(await all(sessions.events(id))).toEqual(events);
    expect(new Set(events.map(({ type }) => type))).toContain('stream.resumed');
    for (const event of events) {
      const state = await mcp.sessions.stateAt(id, event.id);
      expect(await sessions.stateAt(id, event.id)).toEqual(state);
    }
    expect(await sessions.stateAt(id)).toMatchObject({
      ...{ complete: true, logLevel: 'warning', subscriptions: ['file:///a'] },
      ...{
        openRequests: [{ method: 'tools/call' }],
        questions: [{ method: 'elicitation/create' }],
      },
    });
    const lastSeenAt = events.findLast(({ direction }) => direction === 'in')?.at;
    expect(await sessions.get(id)).toEqual({ ...(await mcp.sessions.get(id)), lastSeenAt });
  });

  it('has its messages for readers with the key only, if they are encrypted', async () => {
    const { id, live, archiveTo } = await busySession({ codec });
    const trail = await archiveTo(await newTarget(), { encrypt: true });
    const events = await live();
    expect(await all(archivedSessions(trail, { codec }).events(id))).toEqual(events);
    const unread = await all(archivedSessions(trail).events(id));
    expect(unread.flatMap(({ message }) => message ?? [])).toEqual([]);
    expect(unread.filter(({ unreadable }) => unreadable)).toHaveLength(
      events.filter(({ message }) => message !== undefined).length,
    );
  });

  it('shows what `redact` has left, as the cluster does', async () => {
    const redact: Redact = (message) => {
      if (!('method' in message)) return message;
      if (message.method === 'tools/call') return undefined;
      return 'params' in message ? { ...message, params: {} } : message;
    };
    const { id, live, archiveTo } = await busySession({ redact });
    const sessions = archivedSessions(await archiveTo(await newTarget(), { redact }));
    const events = await live();
    expect(await all(sessions.events(id))).toEqual(events);
    expect(events.filter(({ method }) => method === 'tools/call')).toHaveLength(3);
    expect(events.filter(({ unreadable }) => unreadable)).toEqual([]);
  });

  it('ends with the end of the session, and is still there then', async () => {
    const { id, mcp, client, url, archiveTo } = await busySession();
    const target = await newTarget();
    await archiveTo(target);
    await client.delete(url);
    const sessions = archivedSessions(await archiveTo(target));
    expect(await mcp.sessions.get(id)).toBeUndefined();
    expect((await all(sessions.events(id))).at(-1)?.type).toBe('session.closed');
    expect(await sessions.stateAt(id)).toMatchObject({ state: 'closed', openRequests: [] });
  });
});

it('an archiver says that nothing was delivered, if its sink takes nothing', async () => {
  const prefix = uniquePrefix();
  const backplane = redisBackplane({ redis: redisUrl(), prefix });
  await startSession({ backplane, audit: {} });
  const sink = () => Promise.reject(new Error('away'));
  const logger = { warn: () => undefined, error: () => undefined };
  const archiver = archive({ redis: redisUrl(), prefix, sink, logger });
  onTestFinished(() => archiver.close());
  await expect(archiver.delivered({ stalledMs: 500 })).rejects.toThrow(
    'nothing was delivered for 0.5 s',
  );
});
