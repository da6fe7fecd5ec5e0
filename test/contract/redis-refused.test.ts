/**
 * Redis answers reads and refuses writes. A refused step leaves nothing behind, and no node is told anything. Bug:
 * DELETE announced the end of the session before it was refused, so the session lived on and its calls had been
 * aborted.
 */
import { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ownRedis } from './support/own-redis.js';
import { everything, setScene, STEPS, type Scene } from './support/steps.js';
import type { TestNode } from './suite/rig.js';

const own = ownRedis();
/** `send` stores nothing, so Redis may let it through. */
const WRITING = STEPS.filter(([name]) => name !== 'send');

const REFUSALS = [
  ['short of replicas', ['min-replicas-to-write', '1', '0']],
  ['full', ['maxmemory', '1', '0']],
] as const;

describe.each(REFUSALS)('a Redis that is %s', (_, [setting, refuses, allows]) => {
  let near: TestNode;
  let far: TestNode;
  let scene: Scene;
  let listener: Redis;
  let heard: string[] = [];

  beforeEach(async () => {
    [near, far] = await Promise.all([own.join(undefined, { commandTimeoutMs: 300 }), own.join()]);
    scene = { near, far, id: await setScene(far) };
    heard = [];
    listener = new Redis(own.server.url);
    await listener.psubscribe(`${own.prefix}:*`);
    listener.on('pmessage', (_pattern: string, _channel: string, text: string) => {
      // Probes are no messages of a step.
      if (!text.startsWith('1 probe ')) heard.push(text);
    });
  });
  afterEach(async () => {
    await own.admin.config('SET', setting, allows);
    listener.disconnect();
  });

  it.each(WRITING)('leaves no trace of a refused step: %s', async (_name, step, prepare) => {
    await prepare?.(scene);
    const before = await everything(own.admin, own.prefix);
    await flushed();
    await own.admin.config('SET', setting, refuses);
    const outcome = await step(scene).then(
      () => undefined,
      (error: unknown) => error,
    );
    // A full Redis accepts steps that need no memory.
    if (outcome === undefined && setting === 'maxmemory') return;
    expect(outcome).toMatchObject({ code: 'backplane_unavailable' });
    expect(await everything(own.admin, own.prefix)).toEqual(before);
    expect(await flushed()).toEqual([]);
  });

  /** Returns all messages that were published since the last call. */
  async function flushed(): Promise<string[]> {
    const mark = `mark ${Math.random()}`;
    const come = new Promise<void>((resolve) => {
      listener.on('pmessage', (_pattern: string, _channel: string, text: string) => {
        if (text === mark) resolve();
      });
    });
    await own.admin.publish(`${own.prefix}:mark`, mark);
    await come;
    return heard.splice(0).filter((text) => text !== mark);
  }
});
