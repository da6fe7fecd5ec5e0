/** The command line with a Redis behind sentinels, and over TLS. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { requireBinary } from '../rig/binaries.js';
import { startRedis, type RedisServer } from '../rig/redis.js';
import { startOnPort, startService } from '../rig/service.js';
import type { SessionInfo } from '../../src/index.js';
import type { NodeInfo } from '../../src/operator/index.js';
import { redisBackplane } from '../../src/index.js';
import { connectRedis, uniquePrefix } from '../support/redis-fixture.js';
import { MASTER_NAME, startSentinels } from '../support/redis-sentinels.js';
import { cli, jsonLines } from './support/cli.js';
import { startSession } from './support/serve.js';

/** A node with a session, on a Redis where only one user may do anything from then on. */
async function start(redis: RedisServer) {
  const prefix = uniquePrefix();
  const { mcp, sessionId } = await startSession({
    backplane: redisBackplane({ redis: redis.url, prefix }),
  });
  const admin = connectRedis(redis.url);
  await admin.acl('SETUSER', 'app', 'on', '>p@ss', '~*', '&*', '+@all');
  // Connections that exist stay: those of the node and of a sentinel.
  await admin.acl('SETUSER', 'default', 'off');
  const ask =
    (env: Record<string, string> = {}) =>
    (args: string[], ...redisOptions: string[]) =>
      cli([...args, '--prefix', prefix, ...redisOptions], env);
  return { mcp, sessionId, ask };
}

type Ask = ReturnType<Awaited<ReturnType<typeof start>>['ask']>;

/**
 * Returns the output of all commands for a cluster with one node and one session. The last command ends the session.
 */
async function shown(ask: Ask, redisOptions: string[]) {
  const of = async (...args: string[]) => {
    const ended = await ask(args, ...redisOptions);
    expect(ended, args.join(' ')).toMatchObject({ code: 0, stderr: '' });
    return ended.stdout;
  };
  const nodes = jsonLines<NodeInfo>(await of('nodes', '--json')).map(({ id }) => id);
  const sessions = jsonLines<SessionInfo>(await of('sessions', '--json')).map(({ id }) => id);
  const monitor = await of('monitor', '--once');
  expect(monitor).toContain('1 node  ·  1 session  ·');
  expect(monitor).not.toContain('p@ss');
  await of('kill', ...sessions);
  const left = await ask(['sessions', '--json'], ...redisOptions);
  expect(left).toMatchObject({ code: 0, stdout: '' });
  expect(left.stderr).toBe('mcp-anynode: there is no session\n');
  return { nodes, sessions };
}

describe('the command line with sentinels', () => {
  it('finds the master, logs in as the user of the first URL, and needs only one sentinel', async () => {
    const sentinels = await startSentinels();
    onTestFinished(sentinels.stop);
    const { mcp, sessionId, ask } = await start(sentinels.master);
    const [, second = 0, third = 0] = sentinels.ports;
    const urls = `redis://app:p%40ss@127.0.0.1:1,redis://127.0.0.1:${second},redis://127.0.0.1:${third}`;
    const found = await shown(ask(), ['--redis', urls, '--sentinel', MASTER_NAME]);
    expect(found).toEqual({ nodes: [mcp.nodeId], sessions: [sessionId] });

    // The sentinels do not know this name, and the master needs a password.
    for (const wrong of [
      ['--redis', urls, '--sentinel', 'nobody'],
      ['--redis', urls.replace('app:p%40ss@', ''), '--sentinel', MASTER_NAME],
    ]) {
      const ended = await ask()(['nodes', '--timeout', '500'], ...wrong);
      expect(ended).toMatchObject({ code: 3, stdout: '' });
      expect(ended.stderr).toContain('mcp-anynode: cannot reach redis://127.0.0.1:1,');
      expect(ended.stderr).not.toMatch(/p@ss|p%40ss/);
      expect(ended.ms).toBeLessThan(10_000);
    }
  });
});

describe('the command line over TLS', () => {
  const file = (name: string) => fileURLToPath(new URL(`../support/tls/${name}`, import.meta.url));
  const trusting = { NODE_EXTRA_CA_CERTS: file('ca.pem') };
  const certificates = [
    ...['--tls-cert-file', file('cert.pem'), '--tls-key-file', file('key.pem')],
    ...['--tls-ca-cert-file', file('ca.pem'), '--tls-auth-clients', 'no'],
  ];

  async function startRedisOverTls(): Promise<{ redis: RedisServer; tlsPort: number }> {
    const { port, service } = await startOnPort(undefined, (own) =>
      startRedis({ args: ['--tls-port', `${own}`, ...certificates] }),
    );
    onTestFinished(service.stop);
    return { redis: service, tlsPort: port };
  }

  it('accepts a Redis with a known certificate, and refuses an unknown one', async () => {
    const { redis, tlsPort } = await startRedisOverTls();
    const { mcp, sessionId, ask } = await start(redis);
    const at = ['--redis', `rediss://app:p%40ss@127.0.0.1:${tlsPort}`];
    // The twin: only the certificate makes the difference.
    const stranger = await ask()(['nodes', '--timeout', '500'], ...at);
    expect(stranger).toMatchObject({ code: 3, stdout: '' });
    expect(stranger.stderr).toContain(`cannot reach rediss://127.0.0.1:${tlsPort}: `);
    expect(stranger.stderr).toContain('certificate');
    const found = await shown(ask(trusting), at);
    expect(found).toEqual({ nodes: [mcp.nodeId], sessions: [sessionId] });
  });

  it('reaches a sentinel over TLS, and the master that it names', async () => {
    const { redis, tlsPort } = await startRedisOverTls();
    const port = await startSentinelOverTls(tlsPort);
    const { mcp, sessionId, ask } = await start(redis);
    const at = ['--redis', `rediss://app:p%40ss@127.0.0.1:${port}`, '--sentinel', MASTER_NAME];
    const stranger = await ask()(['nodes', '--timeout', '500'], ...at);
    expect(stranger).toMatchObject({ code: 3, stdout: '' });
    const found = await shown(ask(trusting), at);
    expect(found).toEqual({ nodes: [mcp.nodeId], sessions: [sessionId] });
  });

  /** A sentinel that speaks only TLS, also to the master. */
  async function startSentinelOverTls(masterPort: number): Promise<number> {
    const dir = await mkdtemp(join(tmpdir(), 'anynode-sentinel-'));
    const { port, service } = await startOnPort(undefined, async (own) => {
      const conf = join(dir, 'sentinel.conf');
      const lines = [
        ...['port 0', `tls-port ${own}`, 'tls-replication yes', 'bind 127.0.0.1', `dir ${dir}`],
        ...[`tls-cert-file ${file('cert.pem')}`, `tls-key-file ${file('key.pem')}`],
        ...[`tls-ca-cert-file ${file('ca.pem')}`, 'tls-auth-clients no'],
        `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${masterPort} 1`,
      ];
      await writeFile(conf, `${lines.join('\n')}\n`);
      const program = requireBinary('redis-server');
      return startService(program, [conf, '--sentinel'], { ready: /\+monitor master/, cwd: dir });
    });
    onTestFinished(async () => {
      await service.stop();
      await rm(dir, { recursive: true, force: true });
    });
    return port;
  }
});
