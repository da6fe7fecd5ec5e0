/**
 * Commands that the network delays. A node gives up a command that is not answered in time, ends its connection, and
 * goes on over a new one. There it undoes the step, or does another one. The bytes of the old connection may arrive
 * after that. Bug: a claim of a stream that was answered with 503 and undone became the holder in this way, and the GET
 * that held the stream got nothing any more.
 */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startLateProxy, type LateProxy } from '../support/late-proxy.js';
import { ownRedis } from './support/own-redis.js';
import { everything, setScene, STEPS, type Scene, type Step } from './support/steps.js';
import { eventually, type TestNode } from './suite/rig.js';

const own = ownRedis();
const TIMEOUT_MS = 400;

describe('a step that arrives late over an abandoned connection', () => {
  let proxy: LateProxy;
  let far: TestNode;
  /** A node that takes no part. Its message comes last, so that no other message is on its way to `far`. */
  let other: TestNode;
  let [id, idOfOther] = ['', ''];

  beforeEach(async () => {
    proxy = await startLateProxy(own.server.port);
    [far, other] = await Promise.all([own.join(), own.join()]);
    idOfOther = await other.create();
    id = await setScene(far);
  });
  afterEach(async () => {
    await own.leaveAll();
    proxy.stop();
  });

  async function meet(credentials = ''): Promise<Scene> {
    const url = `redis://${credentials}127.0.0.1:${proxy.port}`;
    return { near: await own.join(url, { commandTimeoutMs: TIMEOUT_MS }), far, id };
  }

  /** Sends a step, and holds its bytes back until the node has given the step up and is ready again over a new connection. */
  async function late(scene: Scene, step: Step, prepare: Step | undefined) {
    await prepare?.(scene);
    proxy.drop();
    await expect(step(scene)).rejects.toThrow(/./);
    await scene.near.backplane.ready();
    await eventually(() => scene.near.backplane.load(id));
    await far.drain(other, idOfOther);
    const before = await everything(own.admin, own.prefix);
    await proxy.arrive();
    const after = await everything(own.admin, own.prefix);
    return { before, after, heard: await far.drain(other, idOfOther) };
  }

  it.each(STEPS)('has no effect: %s', async (_, step, prepare) => {
    const scene = await meet();
    const { before, after, heard } = await late(scene, step, prepare);
    expect(after).toEqual(before);
    expect(heard).toEqual([]);
    expect(scene.near.warnings).toEqual([]);
  });

  // The twins: the fault is real. Only the `CLIENT KILL` by which the new connection ends the old one prevents it.
  it.each(STEPS)(
    'has an effect if the node may not kill connections: %s',
    async (_, step, prepare) => {
      await own.admin.acl('SETUSER', 'shy', 'on', '>secret', '~*', '&*', '+@all', '-client|kill');
      const scene = await meet('shy:secret@');
      const { before, after, heard } = await late(scene, step, prepare);
      expect({ after, heard }).not.toEqual({ after: before, heard: [] });
      expect(scene.near.warnings).toEqual([expect.stringMatching(/NOPERM.*may still take effect/)]);
    },
  );
});
