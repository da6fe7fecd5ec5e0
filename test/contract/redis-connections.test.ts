/** Which connections a node opens, and with which settings. */
import { once } from 'node:events';
import { connect, Socket, type AddressInfo } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { Redis } from 'ioredis';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { STANDALONE } from '../../src/backplane/backplane.js';
import { CERTIFICATE, PRIVATE_KEY } from './support/certificate.js';
import { ownRedis } from './support/own-redis.js';
import { ALICE, append, eventually, receive, type TestNode } from './suite/rig.js';

const nextTick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));
const own = ownRedis();

describe('the connections of a node', () => {
  // With a connection for each request or stream, Redis would refuse connections at a few thousand clients.
  it('are two, however many streams it has, and none when it has left', async () => {
    await eventually(async () => {
      expect(await own.clients()).toEqual([]);
    });
    const node = await own.join();
    const ids = await Promise.all(Array.from({ length: 20 }, () => node.create()));
    for (const id of ids) await node.hold(id, STANDALONE);
    expect((await own.clients()).map(({ subscriptions }) => subscriptions).sort()).toEqual([0, 1]);
    await node.backplane.leave();
    await eventually(async () => {
      expect(await own.clients()).toEqual([]);
    });
    expect(await own.admin.exists(`${own.prefix}:node:${node.id}`)).toBe(0);
  });
});

// A system call for each command costs more than the rest of the command.
it('commands of one turn of the event loop go out in one write while Redis has others to answer', async () => {
  const { backplane, id } = await own.join();
  const writev = vi.spyOn(Socket.prototype, '_writev');
  const written = (): number[] => writev.mock.calls.map(([commands]) => commands.length);
  const look = (): Promise<Set<string>> => backplane.alive([id]);
  try {
    // Redis has nothing to do, so these do not wait for the end of the turn.
    const looks = [look(), look()];
    await nextTick();
    expect(written()).toEqual([2]);
    // These come in two ticks of one turn.
    looks.push(look(), look());
    await nextTick();
    looks.push(look());
    await nextTurn();
    expect(written()).toEqual([2, 3]);
    for (const alive of await Promise.all(looks)) expect(alive).toEqual(new Set([id]));
  } finally {
    writev.mockRestore();
  }
});

// A GET waited behind others of its session. Its client had gone and come back to another node, and lost the stream there.
it('a connection that waits for its turn does not take the stream if its client goes meanwhile', async () => {
  const near = await own.join();
  const far = await own.join();
  const id = await near.create();
  let wanted = true;
  const first = near.attach(id, STANDALONE, { token: 'first' });
  const second = near.attach(id, STANDALONE, { token: 'second', isWanted: () => wanted });
  await Promise.resolve();
  wanted = false;
  await first;
  expect(await second).toEqual({ status: 'unwanted' });
  const newer = await far.hold(id, STANDALONE, { token: 'newer' });
  expect(newer.previous).toEqual({ nodeId: near.id, token: 'first' });
});

describe('nodes in two databases of one Redis', () => {
  // Redis publishes to the subscribers of all databases. Bug: production heard what staging announced with the same
  // prefix.
  it("do not hear each other's messages", async () => {
    const nodeId = 'same';
    const production = await own.join(`${own.server.url}/0`, { nodeId });
    const staging = await own.join(`${own.server.url}/1`, { nodeId });
    const [beside, besideStaging] = [
      await own.join(`${own.server.url}/0`),
      await own.join(`${own.server.url}/1`),
    ];
    const heard: string[] = [];
    const listenAs = (name: string, { backplane }: TestNode) =>
      backplane.sdkStores?.broadcasts.listen({
        onText: (text) => heard.push(`${name} hears ${text}`),
        onGap: () => heard.push(`${name} has a gap`),
      });
    const ends = [listenAs('production', production), listenAs('staging', staging)];
    const id = await beside.create();
    const idOfStaging = await besideStaging.create();
    await beside.backplane.send(nodeId, { type: 'gone', sessionId: 'production' });
    await besideStaging.backplane.send(nodeId, { type: 'gone', sessionId: 'staging' });
    await beside.backplane.sdkStores?.broadcasts.publish('production');
    await besideStaging.backplane.sdkStores?.broadcasts.publish('staging');
    const gone = (sessionId: string) => [{ type: 'gone', sessionId }];
    expect(await production.drain(beside, id)).toEqual(gone('production'));
    expect(await staging.drain(besideStaging, idOfStaging)).toEqual(gone('staging'));
    await eventually(() => {
      expect(heard.sort()).toEqual(['production hears production', 'staging hears staging']);
    });
    for (const end of ends) end?.();
  });
});

describe('a Redis client of the application', () => {
  // If the user name, TLS, its certificate or the database were lost on the way to the subscriber, it would work on the developer's
  // machine only.
  it("lends its settings to the node's own connections, and is not used, changed or closed", async () => {
    const { tlsPort, stop } = await startTls(own.server.port);
    // The rights of this user end at the prefix, for keys and for channels.
    const allowed = `app:${own.prefix}:*`;
    await own.admin.acl('SETUSER', 'app', 'on', '>secret', `~${allowed}`, `&${allowed}`, '+@all');
    const client = new Redis({
      host: 'localhost',
      port: tlsPort,
      family: 4,
      tls: { ca: CERTIFICATE, cert: CERTIFICATE, key: PRIVATE_KEY },
      username: 'app',
      password: 'secret',
      db: 3,
      keyPrefix: 'app:',
      stringNumbers: true,
      enableAutoPipelining: true,
      maxRetriesPerRequest: null,
      lazyConnect: true,
    });
    const members = () => Object.getOwnPropertyNames(client).sort();
    const before = members();
    try {
      const [a, b] = [await own.join(client), await own.join(client)];
      const id = await a.create();
      await b.hold(id, STANDALONE);
      await a.run(id, append(STANDALONE, 'news'), receive({ to: 'initialized' }));
      expect((await b.next('event')).event.message).toBe('news');
      expect(await b.backplane.alive([a.id])).toEqual(new Set([a.id]));
      expect(await b.backplane.storeState(id, '1', '')).toBe('stored');
      expect((await b.backplane.list(undefined, 10)).ids).toEqual([id]);

      await own.admin.select(3);
      const stored = await own.admin.keys('*');
      expect(stored).toContain(`app:${own.prefix}:{${id}}`);
      for (const key of stored) expect(key.startsWith(`app:${own.prefix}:`), key).toBe(true);
      const channels = (await own.admin.pubsub('CHANNELS')) as string[];
      expect(channels).toHaveLength(2);
      for (const name of channels) expect(name.startsWith(`app:${own.prefix}:`), name).toBe(true);
      expect(await b.backplane.remove(id, ALICE)).toBe(true);

      expect(members()).toEqual(before);
      expect(Object.keys(client).filter((key) => key.includes('anynode'))).toEqual([]);
      await Promise.all([a, b].map(({ backplane }) => backplane.leave()));
      expect(client.status).toBe('wait'); // never connected: not used, and not closed
      expect(client.options.keyPrefix).toBe('app:');
    } finally {
      await own.admin.select(0);
      client.disconnect();
      await stop();
      await own.admin.acl('DELUSER', 'app');
    }
  });

  it('that is connected stays connected', async () => {
    const client = new Redis(own.server.url);
    try {
      await client.set(`${own.prefix}:own`, '1');
      const node = await own.join(client);
      await node.create();
      await node.backplane.leave();
      expect(await client.get(`${own.prefix}:own`)).toBe('1');
      expect(client.status).toBe('ready');
    } finally {
      client.disconnect();
    }
  });

  /** Redirects as Redis does with its own TLS port. */
  async function startTls(port: number) {
    // It lets only those in that have the certificate, too.
    const settings = { cert: CERTIFICATE, key: PRIVATE_KEY, ca: CERTIFICATE, requestCert: true };
    const listener = createTlsServer(settings, (socket) => {
      const inner = connect(port, '127.0.0.1');
      socket.on('error', () => undefined).pipe(inner);
      inner.on('error', () => undefined).pipe(socket);
    });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return {
      tlsPort: (listener.address() as AddressInfo).port,
      stop: async () => {
        listener.close();
        await once(listener, 'close');
      },
    };
  }
});
