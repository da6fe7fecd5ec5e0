import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { memoryBackplane } from '../../src/index.js';
import { scriptedServer, say } from '../integration/support/scripted-server.js';
import { rawClient, startNode, startSession } from '../integration/support/serve.js';
import { hasMethod, notification, request } from '../support/mcp-http.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import type {
  JSONRPCMessage,
  MessageExtraInfo,
  RequestId,
} from '@modelcontextprotocol/sdk/types.js';
import { CallToolRequestSchema } from '@modelcontextprotocol/sdk/types.js';

const call = (id: number, name: string, args: Record<string, unknown> = {}) =>
  request(id, 'tools/call', { name, arguments: args });

// The call was taken off the list of those that run, and then its answer could not be written down: nobody was left to
// end it. The stream stayed open for ever, and the id was in use for ever.
it('a result that cannot be written as JSON ends its request with an error', async () => {
  const { url, client } = await startSession({
    server: () => {
      const server = scriptedServer();
      server.setRequestHandler(CallToolRequestSchema, () => ({
        content: [],
        structuredContent: { big: 10n },
      }));
      return server;
    },
  });
  const answer = await client.post(url, call(50, 'big'));
  expect(await answer.answer(50)).toMatchObject({ error: { code: -32603 } });
});

// A stream that has ended has no holder, which the periodic refresh took for "somebody else's": it cut off whoever was
// still reading what lay in the log, a slow reader and a replay alike, with the answer unread.
it('a slow reader of a stream that has ended gets all of it', async () => {
  const { url, client } = await startSession({
    sessionTtlMs: 1_500,
    maxBufferedBytes: 100_000,
    tools: {
      flood: async ({ extra }) => {
        for (let at = 0; at < 150; at += 1) await say(extra, `${at} ${'x'.repeat(100_000)}`);
        return 'done';
      },
    },
  });
  const answer = await client.post(url, call(50, 'flood'));
  answer.sse.pause();
  await sleep(1_500);
  answer.sse.resume();
  expect(await answer.answer(50)).toMatchObject({ result: {} });
});

// Refreshed in the rhythm of the long lifetime, such a session ran out in mid-call, and its answer went nowhere.
it('a running call keeps a session alive whose client never sent `initialized`', async () => {
  const shared = memoryBackplane();
  const { url } = await startNode({
    backplane: { join: (options) => shared.join({ ...options, pendingTtlMs: 1_000 }) },
    tools: {
      wait: async () => {
        await sleep(3_000);
        return 'done';
      },
    },
  });
  const client = rawClient();
  await client.initialize(url, { initialized: false });
  const answer = await client.post(url, call(50, 'wait'));
  expect(await answer.answer(50)).toMatchObject({ result: {} });
});

// The headers could not be sent, and the request was left: stored, never run, its id in use, its replica never idle.
it('a request whose response has begun in front runs, or is given up', async () => {
  const shared = memoryBackplane();
  const nothing = (): void => undefined;
  let storing = nothing;
  const { url, client, mcp } = await startSession({
    replicaIdleMs: 1_000,
    backplane: {
      join: (options) => {
        const joined = shared.join(options);
        const commit = joined.commit.bind(joined);
        joined.commit = async (what) => {
          const reply = await commit(what);
          storing();
          return reply;
        };
        return joined;
      },
    },
    mount: {
      before: [
        (req, res, next) => {
          // While it is being stored: the body has come, the response has not begun.
          if (req.get('x-hurry') !== undefined) {
            storing = () => {
              storing = nothing;
              res.status(504).end('late');
            };
          }
          next();
        },
      ],
    },
  });
  (await client.post(url, call(50, 'echo'), { headers: { 'x-hurry': '1' } })).expect(504);
  await expect.poll(async () => (await client.post(url, call(50, 'echo'))).status).toBe(200);
  await expect.poll(() => mcp.health()).toMatchObject({ sessions: 0, inFlight: 0 });
});

// The callback's exception became the client's problem: 500 for a notification that was stored.
it("a progress callback that throws does not change the client's answer", async () => {
  const { url, client, sessionId, mcp } = await startSession();
  const stream = await client.listen(url);
  const onprogress = (): void => {
    throw new Error('a bug of the application');
  };
  const schema = { parse: (value: unknown) => value };
  const options = { onprogress, timeout: 1_000 };
  const question = mcp.session(sessionId).request({ method: 'roots/list' }, schema, options);
  question.catch(() => undefined);
  const asked = (await stream.next(hasMethod('roots/list'))).message;
  const meta = asked?.params?.['_meta'] as { progressToken: string };
  const progress = { progressToken: meta.progressToken, progress: 1 };
  const posted = await client.post(url, notification('notifications/progress', progress));
  expect(posted.status).toBe(202);
});

// The server was given the very message by whose id its call is known here: under another one, nobody could end it.
it('a server may replace the ids of its requests', async () => {
  const { url, client } = await startSession({
    server: () => {
      const inner = scriptedServer();
      return {
        connect: (transport) => inner.connect(renumbered(transport)),
        close: () => inner.close(),
      };
    },
  });
  const answer = await client.post(url, call(50, 'echo'));
  expect(await answer.answer(50)).toMatchObject({ result: {} });
});

// What came after the message in the same POST was not handed over, and nobody ended it; a call that was cancelled did
// not end either.
it('a server that throws on a notification still gets the rest of its POST', async () => {
  const { url, client, logged } = await startSession({
    server: () => {
      const inner = scriptedServer({ wait: () => new Promise(() => undefined) });
      return {
        connect: async (transport) => {
          await inner.connect(transport);
          const { onmessage } = transport;
          transport.onmessage = (message: JSONRPCMessage, extra) => {
            if ('method' in message && message.method.startsWith('notifications/c')) {
              throw new Error('not that');
            }
            onmessage?.(message, extra as MessageExtraInfo);
          };
        },
        close: () => inner.close(),
      };
    },
  });
  const answer = await client.post(url, [notification('notifications/custom'), call(50, 'echo')]);
  expect(await answer.answer(50)).toMatchObject({ result: {} });
  const { sse } = await client.post(url, call(51, 'wait'));
  await client.notify(url, 'notifications/cancelled', { requestId: 51 });
  await sse.untilEnded();
  expect(logged).toEqual(
    Array(2).fill('mcp-anynode: the server threw at a message: Error: not that'),
  );
});

/** As gateways do it, in place. */
function renumbered(transport: Transport): Transport {
  const ids = new Map<unknown, RequestId>();
  const inner: Transport = {
    start: () => transport.start(),
    close: () => transport.close(),
    send: (message, options) => {
      if ('id' in message && !('method' in message)) {
        message.id = ids.get(message.id) ?? '';
      }
      return transport.send(message, options);
    },
  };
  transport.onclose = () => inner.onclose?.();
  transport.onmessage = (message, extra) => {
    if ('id' in message && 'method' in message) {
      const id = `own-${ids.size}`;
      ids.set(id, message.id);
      message.id = id;
    }
    inner.onmessage?.(message, extra);
  };
  return inner;
}
