import { expect, it } from 'vitest';
import { newGate } from '../integration/support/gate.js';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { openSession, startNode, STORES } from '../integration/support/serve.js';
import { notification, request } from '../support/mcp-http.js';

// It was logged as an error of the server, for an operator to look into: there is none.
it.each(STORES)(
  'a session that is deleted while its server is built elsewhere leaves nothing there, over %s',
  async (_, openStore) => {
    const store = openStore();
    const building = newGate();
    const gate = newGate();
    let closed = 0;
    const a = await startNode({ backplane: store() });
    const b = await startNode({
      backplane: store(),
      server: async () => {
        building.open();
        await gate.opened;
        const server = scriptedServer();
        server.onclose = () => (closed += 1);
        return server;
      },
    });
    const { client, sessionId } = await openSession(a.url);
    const id = client.nextId();
    const called = await client.post(b.url, request(id, 'tools/call', { name: 'echo' }));
    await building.opened;
    (await client.post(b.url, notification('notifications/custom'))).expect(202);
    (await client.delete(a.url)).expect(200);
    expect((await client.post(b.url, request(99, 'ping'))).status).toBe(404);
    gate.open();
    await called.sse.ended;
    expect(called.sse.messages).toEqual([]);
    await expect.poll(() => b.mcp.health()).toMatchObject({ sessions: 0, inFlight: 0, streams: 0 });
    await expect.poll(() => closed).toBe(1);
    expect(await b.mcp.sessions.get(sessionId)).toBeUndefined();
    expect([...a.logged, ...b.logged]).toEqual([]);
  },
);
