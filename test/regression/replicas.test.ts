import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { memoryBackplane } from '../../src/index.js';
import { newGate } from '../integration/support/gate.js';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { request } from '../support/mcp-http.js';

const MOST = 4;

// Each of them made room for itself before any was there, and from then on one went for each that came: as many as had
// once begun at the same time stayed, with an owner for as long as their sessions.
it('concurrent initializes leave no more than maxReplicas replicas', async () => {
  const gate = newGate();
  let building = 0;
  const node = await startNode({
    maxReplicas: MOST,
    server: async () => {
      building += 1;
      if (building === 20) gate.open();
      await gate.opened;
      return scriptedServer();
    },
  });
  await Promise.all(Array.from({ length: 20 }, () => openSession(node.url)));
  await expect.poll(() => node.mcp.health().sessions).toBeLessThanOrEqual(MOST);
});

it('concurrent rehydrations leave no more than maxReplicas replicas', async () => {
  const backplane = memoryBackplane();
  const other = await startNode({ backplane });
  const sessions = await Promise.all(Array.from({ length: 20 }, () => openSession(other.url)));
  const node = await startNode({
    backplane,
    maxReplicas: MOST,
    server: async () => {
      await sleep(50);
      return scriptedServer();
    },
  });
  const answers = await Promise.all(
    sessions.map(({ client }) => client.request(node.url, 'tools/list')),
  );
  for (const answer of answers) expect(answer).toHaveProperty('result');
  await expect.poll(() => node.mcp.health().sessions).toBeLessThanOrEqual(MOST);
});

// The one that was to be built counted twice, so that one less was kept than may be.
it('a node keeps as many replicas as maxReplicas allows', async () => {
  const backplane = memoryBackplane();
  const other = await startNode({ backplane });
  const sessions = await Promise.all(Array.from({ length: MOST }, () => openSession(other.url)));
  let built = 0;
  const node = await startNode({
    backplane,
    maxReplicas: MOST,
    server: () => {
      built += 1;
      return scriptedServer();
    },
  });
  for (let round = 0; round < 2; round += 1) {
    for (const { client } of sessions) await client.request(node.url, 'tools/list');
  }
  expect(built).toBe(MOST);
});

// A server object gives way while a request of its session is on its way: the request gets another one.
it('a call is answered while its replica is being discarded', async () => {
  const node = await startNode({ maxReplicas: 1 });
  const sessions = await Promise.all(Array.from({ length: 6 }, () => openSession(node.url)));
  for (let round = 0; round < 10; round += 1) {
    await Promise.all(
      sessions.map(async ({ client }) => {
        const id = client.nextId();
        const params = { name: 'echo', arguments: { id } };
        const answer = await client.post(node.url, request(id, 'tools/call', params));
        expect(await answer.answer(id)).toHaveProperty('result');
      }),
    );
  }
  await expect.poll(() => node.mcp.health().sessions).toBe(1);
  expect(node.mcp.health().inFlight).toBe(0);
});

// It was counted as not in use twice, once for the refusal and once for the failure, and as in use ever after.
it('a replica is discarded when idle, although a request of its session was refused', async () => {
  const store = memoryBackplane();
  const gate = newGate();
  const started = newGate();
  const hold = async () => {
    started.open();
    await gate.opened;
    return 'held';
  };
  const first = await startNode({ backplane: store, tools: { hold } });
  let away = false;
  const node = await startNode({
    replicaIdleMs: 200,
    backplane: {
      join(options) {
        const joined = store.join(options);
        const alive = joined.alive.bind(joined);
        joined.alive = (ids) => (away ? Promise.reject(new Error('away')) : alive(ids));
        return joined;
      },
    },
  });
  const { client } = await openSession(first.url);
  await client.request(node.url, 'tools/list');
  const call = request(90, 'tools/call', { name: 'hold', arguments: {} });
  const held = client.post(first.url, call);
  await started.opened;
  away = true;
  expect((await client.post(node.url, call)).status).toBeGreaterThanOrEqual(400);
  await expect.poll(() => node.mcp.health().sessions).toBe(0);
  gate.open();
  (await held).expect(200);
});
