/** The rights that `docs/cli.md` gives the Redis user of an archiver are enough. */
import { readdir, readFile } from 'node:fs/promises';
import { beforeAll, expect, it } from 'vitest';
import type { AuditRecord } from '../../src/audit/index.js';
import { archive } from '../../src/audit/index.js';
import { redisBackplane } from '../../src/index.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { useFileRedis } from '../support/file-redis.js';
import { uniquePrefix } from '../support/redis-fixture.js';

const own = useFileRedis();
let grants: string[] = [];
beforeAll(async () => {
  const text = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const [, words = ''] = /^ACL SETUSER archiver ([^]*?)\n```$/m.exec(text) ?? [];
  grants = words.split(/[\s\\]+/);
});

it('an archiver with these rights delivers what waits, and is refused no command', async () => {
  const prefix = uniquePrefix();
  const rights = grants.map((word) => word.replace(/^~mcp:/, `~${prefix}:`));
  await own.admin.acl('SETUSER', prefix, ...rights);
  const address = `127.0.0.1:${own.server.port}`;
  const backplane = redisBackplane({ redis: `redis://${address}`, prefix });
  // Where entries were left out, an acknowledgment tells of the gap.
  const audit = { whenFull: 'drop', maxSessionBytes: 100_000 } as const;
  const node = await startNode({ backplane, audit, sessionTtlMs: 500 });
  const { client, sessionId } = await openSession(node.url);
  for (let at = 0; at < 60; at += 1) {
    const params = { name: 'echo', arguments: { text: 'x'.repeat(2_000) } };
    await client.request(node.url, 'tools/call', params);
  }
  const records: AuditRecord[] = [];
  const logged: string[] = [];
  const log = (text: string): void => void logged.push(text);
  const archiver = archive({
    ...{ redis: `redis://${prefix}:password@${address}`, prefix, commandTimeoutMs: 5_000 },
    sink: (batch) => void records.push(...batch),
    logger: { warn: log, error: log },
  });
  await archiver.delivered();
  // The session expires, and the archiver finds out.
  const last = () => records.at(-1);
  await expect.poll(last, { timeout: 15_000 }).toMatchObject({ reason: 'expired' });
  await archiver.close();
  expect(records.every(({ session }) => session === sessionId)).toBe(true);
  expect(records.map(({ type }) => type)).toContain('gap');
  expect(logged).toEqual([expect.stringContaining('entries are missing')]);
  const refusals = (await own.admin.acl('LOG')) as string[][];
  const refused = refusals.map((entry) => entry[entry.indexOf('object') + 1]);
  // From Redis 7.2 on, ioredis tells the server its name. It does not need that.
  expect(refused.filter((command) => command !== 'client|setinfo')).toEqual([]);
});

it('an archiver may use each command of its scripts', async () => {
  const scripts = new URL('../../src/backplane/redis/scripts/', import.meta.url);
  const names = await readdir(scripts, { recursive: true });
  const files = names.filter((name) => /(?:^|\/)audit\/.*\.lua$/.test(name));
  const texts = await Promise.all(files.map((name) => readFile(new URL(name, scripts), 'utf8')));
  const commands = texts.flatMap((text) =>
    [...text.matchAll(/redis\.p?call\('([A-Z]+)'/g)].map(([, name = '']) => name.toLowerCase()),
  );
  expect(commands.length).toBeGreaterThan(30);
  expect(commands.filter((name) => !grants.includes(`+${name}`))).toEqual([]);
});
