import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { JsonRpcMessage, RequestId } from '../../src/protocol/json/jsonrpc.js';
import { OutgoingRequests } from '../../src/replica/requests/outgoing-requests.js';
import type { DeliveryContext } from '../../src/replica/replica.js';
import { ReplicaTransport } from '../../src/replica/replica-transport.js';
import { settled } from './support/manual-clock.js';

interface Emitted {
  message: JsonRpcMessage;
  relatedTo: RequestId | undefined;
}

let asks: OutgoingRequests;
beforeEach(() => {
  asks = new OutgoingRequests('node1');
});

/** A transport with a server that only listens. */
function setUp(sessionId = 's') {
  const emitted: Emitted[] = [];
  const received: JsonRpcMessage[] = [];
  const extras: unknown[] = [];
  const closed = vi.fn();
  const events = {
    emit: vi.fn((message: JsonRpcMessage, relatedTo: RequestId | undefined) => {
      emitted.push({ message, relatedTo });
      return Promise.resolve();
    }),
    undelivered: vi.fn(),
    closed,
  };
  const transport = new ReplicaTransport(sessionId, asks, events);
  transport.onmessage = (message, extra) => {
    received.push(message);
    extras.push(extra);
  };
  return { transport, emitted, received, extras, events, closed };
}

function request(id: RequestId, method = 'tools/call', params?: Record<string, unknown>) {
  return { jsonrpc: '2.0' as const, id, method, ...(params !== undefined && { params }) };
}

function notification(method: string, params?: Record<string, unknown>) {
  return { jsonrpc: '2.0' as const, method, ...(params !== undefined && { params }) };
}

function result(id: RequestId) {
  return { jsonrpc: '2.0' as const, id, result: {} };
}

describe('a request of the client', () => {
  // The SDK's v1 line ignores cancellations of the ids 0 and ''. The other ids look like aliases of this library.
  const ids = [1, 0, '', '0', 'a', 'anynode:', 'anynode:0', 'anynode:"a"', 'anynode-replay:1', -1];

  it.each(ids)('%j: its answer and related messages have the client’s own id', async (id) => {
    const { transport, emitted, received } = setUp();
    transport.deliver(request(id));
    const [seen] = received as { id: RequestId }[];
    if (seen === undefined) throw new Error('nothing was received');
    await transport.send(notification('notifications/message'), { relatedRequestId: seen.id });
    await transport.send(request(0, 'elicitation/create'), { relatedRequestId: seen.id });
    await transport.send(result(seen.id));
    expect(emitted.map(({ relatedTo }) => relatedTo)).toEqual([id, id, undefined]);
    expect(emitted[2]?.message).toEqual(result(id));
  });

  it.each(ids)('%j: its cancellation has the id that the server knows', (id) => {
    const { transport, received } = setUp();
    transport.deliver(request(id));
    transport.deliver(notification('notifications/cancelled', { requestId: id, reason: 'enough' }));
    const [seen, cancelled] = received as { id?: RequestId; params?: object }[];
    expect(cancelled?.params).toEqual({ requestId: seen?.id, reason: 'enough' });
    expect(Boolean(seen?.id)).toBe(true);
  });

  it('has its own id towards the server', () => {
    const { transport, received } = setUp();
    for (const id of ids) transport.deliver(request(id));
    expect(new Set(received.map((message) => 'id' in message && message.id)).size).toBe(ids.length);
  });
});

describe('a request of the server', () => {
  it('has an id that is unique in the cluster and names its node', async () => {
    const one = setUp();
    const two = setUp();
    await one.transport.send(request(0, 'roots/list'));
    await two.transport.send(request(0, 'roots/list'));
    expect(
      [...one.emitted, ...two.emitted].map(({ message }) => 'id' in message && message.id),
    ).toEqual(['node1.1', 'node1.2']);
  });

  it('gets its answer under the id that it was sent with, once', async () => {
    const { transport, received } = setUp();
    await transport.send(request(0, 'roots/list'));
    expect(transport.waiting).toBe(1);
    transport.deliver(result('node1.1'));
    transport.deliver(result('node1.1'));
    expect(received).toEqual([result(0)]);
    expect(transport.waiting).toBe(0);
  });

  it('gets an error in the same way', async () => {
    const { transport, received } = setUp();
    await transport.send(request(7, 'roots/list'));
    const error = { code: -1, message: 'no' };
    transport.deliver({ jsonrpc: '2.0', id: 'node1.1', error });
    expect(received).toEqual([{ jsonrpc: '2.0', id: 7, error }]);
  });

  it('gets no answer from another session, nor one meant for another replica', async () => {
    const mine = setUp('mine');
    const foreign = setUp('foreign');
    const sibling = setUp('mine');
    await mine.transport.send(request(0, 'roots/list'));
    foreign.transport.deliver(result('node1.1'));
    sibling.transport.deliver(result('node1.1'));
    expect([...foreign.received, ...sibling.received]).toEqual([]);
    mine.transport.deliver(result('node1.1'));
    expect(mine.received).toEqual([result(0)]);
  });

  it.each([0, 'node1.2', 'node2.1', ''])('gets no answer with the id %j', async (id) => {
    const { transport, received } = setUp();
    await transport.send(request(0, 'roots/list'));
    transport.deliver(result(id));
    expect(received).toEqual([]);
  });

  it('is forgotten if it could not be stored', async () => {
    const { transport, events } = setUp();
    events.emit.mockRejectedValueOnce(new Error('away'));
    await expect(transport.send(request(0, 'roots/list'))).rejects.toThrow('away');
    expect(transport.waiting).toBe(0);
    expect(asks.find('s', 'node1.1')).toBeUndefined();
  });

  it('is cancelled with the id that the client knows', async () => {
    const { transport, emitted } = setUp();
    await transport.send(request(0, 'roots/list'));
    await transport.send(notification('notifications/cancelled', { requestId: 0, reason: 'late' }));
    expect(emitted[1]?.message).toEqual(
      notification('notifications/cancelled', { requestId: 'node1.1', reason: 'late' }),
    );
    expect(transport.waiting).toBe(0);
  });
});

describe('progress', () => {
  const params = { _meta: { progressToken: 0, more: 1 }, a: 1 };

  it('of the client reaches the server with the server’s own token, each time', async () => {
    const { transport, emitted, received } = setUp();
    await transport.send(request(0, 'sampling/createMessage', params));
    const token = 'node1.2';
    expect(emitted[0]?.message).toMatchObject({
      id: 'node1.1',
      params: { _meta: { progressToken: token, more: 1 }, a: 1 },
    });
    for (const progress of [1, 2]) {
      transport.deliver(notification('notifications/progress', { progressToken: token, progress }));
    }
    expect(received).toEqual([
      notification('notifications/progress', { progressToken: 0, progress: 1 }),
      notification('notifications/progress', { progressToken: 0, progress: 2 }),
    ]);
    // The token outlives the answer, because the answer may be a task that still runs.
    transport.deliver(result('node1.1'));
    transport.deliver(
      notification('notifications/progress', { progressToken: token, progress: 3 }),
    );
    expect(received.at(-1)).toMatchObject({ params: { progressToken: 0, progress: 3 } });
  });

  it('does not change the message of the server', async () => {
    const { transport } = setUp();
    const message = request(0, 'sampling/createMessage', params);
    await transport.send(message);
    expect(message).toEqual(request(0, 'sampling/createMessage', params));
    expect(params._meta.progressToken).toBe(0);
  });

  // With a server that uses one token for all requests, the node kept an entry for each request until it ended.
  it('with a token that is used again takes no more memory', async () => {
    const { transport, emitted } = setUp();
    for (const id of [0, 1, 2]) await transport.send(request(id, 'sampling/createMessage', params));
    const tokens = emitted.map(({ message }) =>
      'params' in message ? message.params._meta?.progressToken : undefined,
    );
    expect(tokens).toEqual(['node1.2', 'node1.2', 'node1.2']);
  });

  it('is passed on for a bounded number of tokens', async () => {
    const { transport, received } = setUp();
    for (let id = 0; id <= 1000; id += 1) {
      const meta = { _meta: { progressToken: id } };
      await transport.send(request(id, 'sampling/createMessage', meta));
    }
    expect(asks.find('s', 'node1.2')).toBeUndefined();
    expect(asks.find('s', 'node1.4')).toBeDefined();
    transport.deliver(notification('notifications/progress', { progressToken: 'node1.4' }));
    expect(received).toEqual([notification('notifications/progress', { progressToken: 1 })]);
  });
});

describe('a replay', () => {
  const initialize = { method: 'initialize', params: { a: 1 }, expectsAnswer: true };
  const initialized = { method: 'notifications/initialized', expectsAnswer: false };

  it('gives the server one message after another, each when the one before was answered', async () => {
    const { transport, received } = setUp();
    let done = false;
    const replay = transport
      .replay([initialize, initialized, { method: 'logging/setLevel', expectsAnswer: true }])
      .then(() => (done = true));
    const answerLast = async () => {
      const last = received.at(-1);
      if (last === undefined || !('id' in last)) throw new Error('no request');
      await transport.send(result(last.id));
      await settled();
    };
    expect(received.map((message) => 'method' in message && message.method)).toEqual([
      'initialize',
    ]);
    await answerLast();
    expect(received.map((message) => 'method' in message && message.method)).toEqual([
      'initialize',
      'notifications/initialized',
      'logging/setLevel',
    ]);
    expect(done).toBe(false);
    await answerLast();
    await replay;
  });

  it('passes requests on, but neither answers nor notifications', async () => {
    const { transport, emitted } = setUp();
    transport.onmessage = (message: JsonRpcMessage) => {
      if (!('id' in message)) return;
      const related = { relatedRequestId: message.id };
      void transport.send(notification('notifications/message'));
      void transport.send(notification('notifications/message'), related);
      void transport.send(request(0, 'roots/list'), related);
      void transport.send(result(message.id));
    };
    await transport.replay([initialize]);
    // It is related to no request of the client, because that was answered long ago.
    expect(emitted).toEqual([{ message: request('node1.1', 'roots/list'), relatedTo: undefined }]);
    await transport.send(notification('notifications/message'));
    expect(emitted).toHaveLength(2);
  });

  // A replay may happen while calls run. A call whose id looked like that of a replayed request lost its answer.
  it('does not drop messages of a running call', async () => {
    const { transport, emitted, received } = setUp();
    const ids = ['replay:1', 'anynode-replay:1', 'anynode:1'];
    for (const id of ids) transport.deliver(request(id));
    const replay = transport.replay([initialize]);
    const seen = received.map((message) => ('id' in message ? message.id : undefined));
    expect(new Set(seen).size).toBe(4);
    for (const id of seen) if (id !== undefined) await transport.send(result(id));
    await replay;
    expect(emitted.map(({ message }) => message)).toEqual(ids.map((id) => result(id)));
  });

  it('ends when the server is closed', async () => {
    const { transport } = setUp();
    const replay = transport.replay([initialize]);
    transport.shutDown();
    await replay;
  });
});

describe('a request of the library to the server', () => {
  it('is answered to the library, and the client does not see it', async () => {
    const { transport, emitted, received } = setUp();
    const answer = transport.query('tools/list', { cursor: 'next' });
    const [seen] = received as { id?: RequestId }[];
    expect(seen).toMatchObject({ method: 'tools/list', params: { cursor: 'next' } });
    const tools = { jsonrpc: '2.0' as const, id: seen?.id ?? '', result: { tools: [] } };
    await transport.send(tools);
    expect(await answer).toEqual(tools);
    expect(emitted).toEqual([]);
  });

  it('has no answer if the server is closed before', async () => {
    const { transport } = setUp();
    const answer = transport.query('tools/list');
    transport.shutDown();
    expect(await answer).toBeUndefined();
  });
});

describe('a closed transport', () => {
  it('sends nothing, receives nothing, and forgets its open requests', async () => {
    const { transport, emitted, received } = setUp();
    await transport.send(request(0, 'a', { _meta: { progressToken: 0 } }));
    transport.shutDown();
    await transport.send(notification('notifications/message'));
    transport.deliver(request(1));
    transport.deliver(result('node1.1'));
    expect(emitted).toHaveLength(1);
    expect(received).toEqual([]);
    expect([asks.find('s', 'node1.1'), asks.find('s', 'node1.2')]).toEqual([undefined, undefined]);
  });

  it('tells the server, and also the library if the server closed it', async () => {
    const byServer = setUp();
    const byUs = setUp();
    const told = vi.fn();
    byServer.transport.onclose = told;
    byUs.transport.onclose = told;
    await byServer.transport.close();
    await byServer.transport.close();
    byUs.transport.shutDown();
    await byUs.transport.close();
    expect(told).toHaveBeenCalledTimes(2);
    expect(byServer.closed).toHaveBeenCalledTimes(1);
    expect(byUs.closed).not.toHaveBeenCalled();
  });
});

it('passes the context of a message to the server, and builds a web request only if it is read', () => {
  const { transport, extras } = setUp();
  const headers = vi.fn(() => ({ 'x-a': 'b' }));
  const context: DeliveryContext = {
    authInfo: { token: 't', clientId: 'c', scopes: [] },
    requestInfo: {
      get headers() {
        return headers();
      },
      url: new URL('http://localhost/mcp'),
    },
    closeSSEStream: () => undefined,
  };
  transport.deliver(request(1), context);
  const extra = extras[0] as { authInfo: unknown; request: Request; closeSSEStream: unknown };
  expect(extra.authInfo).toBe(context.authInfo);
  expect(extra.closeSSEStream).toBe(context.closeSSEStream);
  expect(headers).not.toHaveBeenCalled();
  expect(extra.request.headers.get('x-a')).toBe('b');
  transport.deliver(request(2));
  expect(extras[1]).toBeUndefined();
});

// Each request to the client was remembered until its answer came. A server that sent requests without end filled the memory.
it('refuses a request to the client while 10,000 wait, until one is answered', async () => {
  const { transport, emitted } = setUp();
  for (let id = 1; id <= 10_000; id += 1) await transport.send(request(id, 'ping'));
  await expect(transport.send(request(10_001, 'ping'))).rejects.toThrow('Too many requests wait');
  expect(transport.waiting).toBe(10_000);
  const first = emitted[0]?.message as { id: RequestId };
  transport.deliver(result(first.id));
  await transport.send(request(10_002, 'ping'));
  expect(emitted).toHaveLength(10_001);
});
