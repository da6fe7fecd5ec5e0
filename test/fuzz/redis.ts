/**
 * Runs two nodes on a Redis. From seeds, it changes the stored data of one session, and publishes messages that no node
 * would send. The nodes have to answer requests of that session in any way, and to serve all other sessions as before.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { NodeMessage } from '../../src/backplane/node-messages.js';
import { anynode, redisBackplane } from '../../src/index.js';
import { aesGcmCodec } from '../../src/codec/index.js';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { notification, RawClient, request } from '../support/mcp-http.js';
import type { Random } from './upstream.js';
import { randomOf } from './upstream.js';

const PREFIX = 'mcp';
/** How long a node may take for an answer, and how long its event loop may stand still. */
const ANSWER_MS = 10_000;
const STALL_MS = 1_000;

const TEXTS = [
  ...[
    '',
    '-',
    '0',
    '-1',
    '1',
    '1e999',
    '9007199254740993',
    '0:0-0',
    '1:1-1',
    '9999999999999-0',
    'g',
    'x',
  ],
  ...['null', '[]', '{}', '{"jsonrpc":"2.0","id":1,"result":{}}', '{"jsonrpc":"2.0","method":"x"}'],
  ...['~1 a 1 out g\n{}', 'aes1.k1.AAAA', 'aes1.', '\u0000\uFFFF', '\n', ' ', '1.a:1.b', '+', '-a'],
  ...['x'.repeat(70_000), '['.repeat(6_000), '9'.repeat(400)],
];
/** All types of messages. With a new type, this fails to compile. */
const MESSAGES: Record<NodeMessage['type'], true> = {
  ...{ event: true, deliver: true, logged: true, run: true, placed: true, disowned: true },
  ...{ shape: true, gone: true, release: true, released: true, held: true, taken: true },
  ...{ hangup: true, check: true, orphaned: true, followed: true },
};
const VERBS = [...Object.keys(MESSAGES), 'probe', 'what'];

const pick = <T>(random: Random, from: readonly T[]): T => from[random(from.length)] as T;

interface Node {
  url: string;
  nodeId: string;
}

/** Starts the nodes, and returns all that is needed to use them and to do them harm. */
export async function startFuzz(redisUrl: string, isEncrypted: boolean) {
  const key = randomBytes(32);
  const nodes: (Node & { close(): Promise<void> })[] = [];
  for (let at = 0; at < 2; at += 1) {
    const mcp = anynode({
      server: () => scriptedServer(),
      backplane: redisBackplane({ redis: redisUrl, prefix: PREFIX }),
      affinity: isEncrypted ? 'owner' : 'any',
      // Replicas of damaged sessions are discarded soon. So anything that is left of them is a leak.
      replicaIdleMs: 500,
      logger: { warn: () => undefined, error: () => undefined },
      ...(isEncrypted && { codec: aesGcmCodec({ keys: { k1: key }, current: 'k1' }) }),
    });
    const server = createServer(mcp.listener).listen(0, '127.0.0.1');
    await once(server, 'listening');
    await mcp.ready();
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/mcp`;
    const close = async () => {
      await mcp.close({ drainMs: 0 });
      server.closeAllConnections();
      server.close();
    };
    nodes.push({ url, nodeId: mcp.nodeId, close });
  }
  const redis = new Redis(redisUrl);
  const spy = new Redis(redisUrl);
  /** The last messages between the nodes. */
  const heard: string[] = [];
  spy.on('pmessage', (_pattern, _channel, text: string) => {
    if (heard.push(text) > 100) heard.shift();
  });
  await spy.psubscribe(`${PREFIX}:inbox:*`);
  const bystander = new RawClient();
  await bystander.initialize(nodes[0]?.url ?? '');
  return {
    once: (seed: number) => fuzzOnce(randomOf(seed), { nodes, redis, heard, bystander }),
    async close() {
      bystander.close();
      redis.disconnect();
      spy.disconnect();
      await Promise.all(nodes.map((node) => node.close()));
    },
  };
}

interface Rig {
  nodes: Node[];
  redis: Redis;
  heard: string[];
  bystander: RawClient;
}

/** Runs one seed. Rejects if a node does not withstand it. */
async function fuzzOnce(random: Random, { nodes, redis, heard, bystander }: Rig): Promise<void> {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const before = process.cpuUsage();
  const victim = new RawClient();
  try {
    await victim.initialize(pick(random, nodes).url);
    const id = victim.sessionId ?? '';
    if (random(2) === 0) await victim.listen(pick(random, nodes).url);
    if (random(2) === 0) await victim.request(pick(random, nodes).url, 'tools/list');
    for (let left = 1 + random(4); left > 0; left -= 1) {
      if (random(2) === 0) await harm(random, redis, `${PREFIX}:{${id}}`);
      else
        await redis.publish(
          `${PREFIX}:inbox:${pick(random, nodes).nodeId}`,
          line(random, heard, id),
        );
    }
    for (const { url } of nodes) {
      await answered(victim.post(url, request(random(9), 'ping')), 'the session that was harmed');
      await answered(victim.post(url, notification('notifications/x')), 'a notification to it');
      const get = victim.get(url).then((response) => response.body);
      await Promise.race([get.catch(() => undefined), sleep(20)]);
      const { status } = await answered(bystander.post(url, request(1, 'ping')), 'another session');
      if (status !== 200) throw new Error(`another session was answered ${String(status)}`);
    }
  } finally {
    victim.close();
    delay.disable();
  }
  // On a busy machine, the process itself may have waited for the CPU.
  const { user, system } = process.cpuUsage(before);
  const stallMs = Math.min(delay.max / 1e6, (user + system) / 1e3);
  if (stallMs > STALL_MS) throw new Error(`the loop stood still for ${stallMs.toFixed()} ms`);
}

async function answered<T>(answer: Promise<T>, whose: string): Promise<T> {
  const late = new AbortController();
  const timeout = sleep(ANSWER_MS, undefined, { signal: late.signal }).then(() => {
    throw new Error(`${whose} got no answer`);
  });
  timeout.catch(() => undefined);
  try {
    return await Promise.race([answer, timeout]);
  } finally {
    late.abort();
  }
}

/** Changes one stored value of a session. */
async function harm(random: Random, redis: Redis, record: string): Promise<void> {
  const key = pick(random, [record, `${record}:streams`, `${record}:events`]);
  const text = (): string => pick(random, TEXTS);
  const type = await redis.type(key);
  switch (random(8)) {
    case 0:
      await redis.del(key);
      return;
    case 1:
      await redis.multi().del(key).set(key, text()).exec();
      return;
    case 2:
      await redis
        .multi()
        .del(key)
        .hset(key, pick(random, ['rev', 'n:g', 'first', 's']), text())
        .exec();
      return;
  }
  if (type === 'hash') {
    const fields = await redis.hkeys(key);
    const more = [
      'own',
      'lvl',
      'sub:x',
      'seal',
      'init1',
      'young',
      'map',
      'h:g',
      'x:g',
      'reps',
      'w:g',
      'p:x',
    ];
    const field = pick(random, random(2) === 0 ? fields : more);
    if (random(3) === 0) await redis.hdel(key, field);
    else await redis.hset(key, field, text());
  } else if (type === 'stream') {
    const names = ['s', 'n', 'm', 'o', 'e', 'q', 'k', 'by', 'r', text()];
    const words = Array.from({ length: 1 + random(5) }, () => [pick(random, names), text()]).flat();
    await redis.xadd(key, '*', ...words);
  } else if (type === 'string') {
    const stored = await redis.getBuffer(key);
    const at = random((stored?.length ?? 0) + 1);
    if (random(2) === 0) await redis.setrange(key, at, text().slice(0, 50));
    else await redis.append(key, `${text()} ${text()}\n`);
  }
}

/** Returns a message for a node: a message that was heard, with one word or its end changed, or a message of random words. */
function line(random: Random, heard: readonly string[], sessionId: string): string {
  const text = (): string => pick(random, TEXTS);
  if (heard.length > 0 && random(2) === 0) {
    const given = pick(random, heard);
    if (random(3) === 0) return given.slice(0, random(given.length));
    const [first = '', ...rest] = given.split('\n');
    const words = first.split(' ');
    words[random(words.length)] = text();
    return [words.join(' '), ...rest].join('\n');
  }
  const words = Array.from({ length: random(10) }, text);
  return `1 ${pick(random, VERBS)} ${pick(random, [sessionId, text()])} ${words.join(' ')}\n${text()}`;
}
