import { describe, expect, it } from 'vitest';
import { hasMethod, notification, type RawClient, type SseReader } from '../support/mcp-http.js';
import {
  callTool,
  holdTool,
  logged,
  newClient,
  resultText,
  says,
  startTool,
  useCluster,
  type ClusterOptions,
  type RunningTool,
  type TestNode,
} from './support/cluster.js';

const cluster = useCluster();

const capabilities = { elicitation: {}, sampling: {}, roots: { listChanged: true } };
const ada = { action: 'accept', content: { name: 'Ada' } };
const sampled = { model: 'm', role: 'assistant', content: { type: 'text', text: 'sampled' } };

/** Answers the next question of this method on a stream, at a node of the test's choice. */
async function answerNext(
  client: RawClient,
  stream: SseReader,
  method: string,
  to: TestNode,
  result: Record<string, unknown>,
): Promise<void> {
  const { message } = await stream.next(hasMethod(method));
  await client.respond(to.url, message?.id ?? '', result);
}

async function ask(
  running: Promise<RunningTool>,
  client: RawClient,
  method: string,
  to: TestNode,
  result: Record<string, unknown>,
): Promise<unknown> {
  const { stream, text } = await running;
  await answerNext(client, stream, method, to, result);
  return JSON.parse(await text()) as unknown;
}

const kinds = ['McpServer v1', 'Server v1', 'McpServer v2'] as const;

describe.each(kinds)('a %s on a node that never saw initialize', (server) => {
  it('asks the client for what it can do: elicitation, sampling, roots', async () => {
    const [born, runs, answers] = await cluster.mount({ server });
    const client = newClient();
    await client.initialize(born.url, { capabilities });

    const elicited = startTool(client, runs, 'elicit', { message: 'name?' });
    expect(await ask(elicited, client, 'elicitation/create', answers, ada)).toEqual(ada);
    const asked = startTool(client, runs, 'sample', { text: 'hello?' });
    expect(await ask(asked, client, 'sampling/createMessage', answers, sampled)).toEqual(sampled);
    const roots = { roots: [{ uri: 'file:///here' }] };
    const listed = startTool(client, runs, 'roots');
    expect(await ask(listed, client, 'roots/list', answers, roots)).toEqual(roots);
  });

  it('does not ask a client without these capabilities', async () => {
    const [born, runs] = await cluster.mount({ server });
    const client = newClient();
    await client.initialize(born.url);
    await expect(callTool(client, runs, 'elicit', { message: 'name?' })).rejects.toThrow(
      /does not support/i,
    );
  });

  it('knows the log level and the subscriptions that other nodes have set', async () => {
    const [born, told, runs] = await cluster.mount({ server });
    const client = newClient();
    await client.initialize(born.url);
    const stream = await client.listen(born.url);
    await client.request(told.url, 'logging/setLevel', { level: 'error' });
    await client.request(told.url, 'resources/subscribe', { uri: 'test://one' });
    await client.request(born.url, 'resources/subscribe', { uri: 'test://two' });
    await client.request(told.url, 'resources/unsubscribe', { uri: 'test://one' });

    // The second node has a server already and has to catch up; the third has none yet.
    for (const node of [born, told, runs]) {
      expect(await callTool(client, node, 'subscriptions')).toBe('["test://two"]');
      await callTool(client, node, 'log', { level: 'info', data: `hidden by ${node.nodeId}` });
      await callTool(client, node, 'log', { level: 'error', data: `shown by ${node.nodeId}` });
    }
    await stream.first(3);
    expect(logged(stream)).toEqual([born, told, runs].map(({ nodeId }) => `shown by ${nodeId}`));
  });

  it('sends its own messages on `initialized` once', async () => {
    const [born, told, third] = await cluster.mount({ server, welcomes: true });
    const client = newClient();
    await client.initialize(born.url, { initialized: false });
    const stream = await client.listen(third.url);
    await client.notify(told.url, 'notifications/initialized');
    const first = await stream.next();
    // Each of these has its server by now, which was told of `initialized` when it was built.
    for (const node of [born, told, third]) await callTool(client, node, 'echo', { text: '' });
    await born.call('notify', { sessionId: client.sessionId ?? '', data: 'the end' });
    await stream.next(says('the end'));
    expect(logged(stream)).toEqual([first.message?.params?.['data'], 'the end']);
    expect(String(logged(stream)[0])).toMatch(/^welcome from /);
    for (const node of [born, told, third]) {
      expect(await node.call('count', { of: 'initialized' })).toBe(1);
    }
  });

  it('gets roots/list_changed', async () => {
    const [born, other, third] = await cluster.mount({ server });
    const client = newClient();
    await client.initialize(born.url, { capabilities });
    await callTool(client, other, 'echo', { text: '' });
    await client.notify(third.url, 'notifications/roots/list_changed');
    await Promise.all([born.until('roots changed'), other.until('roots changed')]);
  });
});

describe('the factory', () => {
  it('is told the session, whether it is rehydrated, and who calls', async () => {
    const [born, other] = await cluster.mount();
    const client = newClient({ headers: { authorization: 'Bearer ada/first-token' } });
    const clientInfo = { name: 'told', version: '1.0.0' };
    await client.initialize(born.url, { capabilities, clientInfo });
    const who = await callTool(client, other, 'whoami');
    const { sessionId } = client;
    expect(JSON.parse(who)).toEqual({ nodeId: other.nodeId, sessionId, clientId: 'ada' });

    const told = {
      session: sessionId,
      clientId: 'ada',
      clientName: 'told',
      capabilities,
      protocolVersion: '2025-11-25',
    };
    expect(await born.call('built')).toEqual([
      { ...told, rehydrated: false, state: 'initialized' },
    ]);
    expect(await other.call('built')).toEqual([{ ...told, rehydrated: true, state: 'active' }]);
  });

  it('is called once on each node for concurrent first requests', async () => {
    const [born, other, third] = await cluster.mount({ buildMs: 50 });
    const client = newClient();
    await client.initialize(born.url);
    const texts = Array.from({ length: 20 }, (_, at) => `${at}`);
    const nodes = [other, third];
    const answers = await Promise.all(
      texts.map((text, at) => callTool(client, nodes[at % 2] as TestNode, 'echo', { text })),
    );
    expect(answers).toEqual(texts);
    for (const node of [born, other, third]) expect(await node.call('built')).toHaveLength(1);
  });
});

describe('an idle replica', () => {
  async function sessionsOn(node: TestNode): Promise<number> {
    return (await node.call('health')).sessions;
  }

  const soon: ClusterOptions = { replicaIdleMs: 400 };

  it('is discarded, and built again for the next request', async () => {
    const [born, other] = await cluster.mount(soon);
    const client = newClient();
    await client.initialize(born.url);
    await client.request(other.url, 'resources/subscribe', { uri: 'test://one' });
    await expect.poll(() => sessionsOn(other), { timeout: 5_000 }).toBe(0);
    await expect.poll(() => sessionsOn(born), { timeout: 5_000 }).toBe(0);
    expect(await callTool(client, other, 'subscriptions')).toBe('["test://one"]');
    const built = await other.call('built');
    expect(built.map(({ rehydrated }) => rehydrated)).toEqual([true, true]);
  });

  it('is kept while a call runs, an answer is awaited, or the client listens on any node', async () => {
    // Not before each of them is used in the way that keeps it.
    const [calling, asking, listening] = await cluster.mount({ replicaIdleMs: 1_500 });
    const idle = newClient();
    const caller = newClient();
    const asked = newClient();
    const listener = newClient();
    await caller.initialize(calling.url);
    await asked.initialize(asking.url, { capabilities });
    await listener.initialize(calling.url);
    const stream = await listener.listen(listening.url);
    const held = await holdTool(caller, calling, 'long');
    const sessionId = asked.sessionId ?? '';
    const question = asking.call('sampleAlone', { sessionId, text: 'still there?' });

    // This one is not used: when it is gone, the others have had their time too.
    await idle.initialize(calling.url);
    await expect.poll(() => sessionsOn(calling), { timeout: 5_000 }).toBe(2);
    expect(await sessionsOn(asking)).toBe(1);

    await calling.call('release', { key: 'long' });
    expect(await held.text()).toBe('released');
    const questions = await asked.listen(listening.url);
    await answerNext(asked, questions, 'sampling/createMessage', calling, sampled);
    expect(await question).toEqual(sampled);
    await calling.call('push', {
      ...{ sessionId: listener.sessionId ?? '', from: 1, as: 'still here' },
    });
    await stream.next(says('still here 1'));
  });

  it('is discarded for others above maxReplicas, the longest idle first', async () => {
    const [node, other] = await cluster.mount({ maxReplicas: 2 });
    const clients = [newClient(), newClient(), newClient()] as const;
    const [first, second, third] = clients;
    await first.initialize(node.url);
    await second.initialize(node.url);
    await callTool(first, node, 'echo', { text: '' });
    await third.initialize(node.url);
    expect(await sessionsOn(node)).toBe(2);
    const rebuilt = async (client: RawClient): Promise<number> => {
      const built = await node.call('built');
      return built.filter(({ session }) => session === client.sessionId).length - 1;
    };
    // The second was the one that gave way, and comes back without its client's doing.
    expect(await callTool(first, node, 'echo', { text: 'a' })).toBe('a');
    expect(await rebuilt(first)).toBe(0);
    expect(await callTool(second, node, 'echo', { text: 'b' })).toBe('b');
    expect(await rebuilt(second)).toBe(1);
    expect(await callTool(second, other, 'echo', { text: 'c' })).toBe('c');
  });
});

it('a batch with `initialized` and a call is served', async () => {
  const [born, other] = await cluster.mount({ welcomes: true });
  const client = newClient({ protocolVersion: '2025-03-26' });
  await client.initialize(born.url, { initialized: false });
  const stream = await client.listen(born.url);
  const id = client.nextId();
  const answer = await client.post(other.url, [
    notification('notifications/initialized'),
    {
      jsonrpc: '2.0',
      id,
      method: 'tools/call',
      params: { name: 'echo', arguments: { text: 'x' } },
    },
  ]);
  expect(resultText(await answer.answer(id))).toBe('x');
  await stream.next();
  expect(logged(stream)).toHaveLength(1);
});
