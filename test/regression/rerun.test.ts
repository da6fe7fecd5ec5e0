import { ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { expect, it } from 'vitest';
import type { Backplane } from '../../src/index.js';
import { memoryBackplane } from '../../src/index.js';
import { Cursors } from '../../src/stream/cursor.js';
import { open, TestNode } from '../contract/suite/rig.js';
import { newGate } from '../integration/support/gate.js';
import { scriptedServer } from '../integration/support/scripted-server.js';
import { openSession, startNode } from '../integration/support/serve.js';
import { answers, request } from '../support/mcp-http.js';

/** What a node that recovers a call does first, each of which may take its time. */
const MOMENTS = ['its claim is on the way', 'the log is read'] as const;

// Until it had read the log, nothing on the node said that the call was its own. A `check` in that moment, from the node to
// which the client had come back, took the call for one whose answer was lost: it was ended with an error, and then run.
it.each(MOMENTS)(
  'a call that is about to be run again does not count as lost while %s',
  async (moment) => {
    const store = memoryBackplane();
    const [reached, gate] = [newGate(), newGate()];
    const pause = async <T>(reply: Promise<T>): Promise<T> => {
      const replied = await reply;
      reached.open();
      await gate.opened;
      return replied;
    };
    const slow: Backplane = {
      join(options) {
        const joined = store.join(options);
        const commit = joined.commit.bind(joined);
        const history = joined.history.bind(joined);
        if (moment === 'the log is read') joined.history = (...args) => pause(history(...args));
        else {
          joined.commit = (step) => {
            const claims = step.operations.some(({ type }) => type === 'claim');
            return claims ? pause(commit(step)) : commit(step);
          };
        }
        return joined;
      },
    };
    let runs = 0;
    const server = () => {
      const made = scriptedServer({ again: () => `run ${(runs += 1)}` });
      const tool = { name: 'again', inputSchema: { type: 'object' as const } };
      made.setRequestHandler(ListToolsRequestSchema, () => ({
        tools: [{ ...tool, annotations: { idempotentHint: true } }],
      }));
      return made;
    };
    const node = await startNode({ recovery: 'rerun-idempotent', server, backplane: slow });
    const { client, sessionId } = await openSession(node.url);
    const [dead, other] = [new TestNode(store), new TestNode(store)];
    const call = request(50, 'tools/call', { name: 'again', arguments: {} });
    const stream = `${dead.id}1`;
    const more = { principal: 'anonymous', messages: [JSON.stringify(call)] };
    const [opened] = await dead.run(sessionId, open(stream, ['50'], more));
    if (opened?.status !== 'opened') throw new Error('It was not opened');
    await dead.backplane.leave();

    const lastEventId = new Cursors(sessionId).format(stream, opened.position);
    const resumed = await client.listen(node.url, { lastEventId });
    await reached.opened;
    await other.backplane.send(node.mcp.nodeId, {
      type: 'check',
      streams: [{ sessionId, stream }],
    });
    await new Promise((resolve) => setTimeout(resolve, 50)); // it has been seen to
    gate.open();
    const { message } = await resumed.next(answers(50));
    expect(message?.error).toBeUndefined();
    expect(JSON.stringify(message?.result)).toContain('run 1');
    expect(runs).toBe(1);
    await other.backplane.leave();
  },
);
