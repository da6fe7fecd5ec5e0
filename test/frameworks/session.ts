/** A session of a server with the tools `add`, `report`, `count`, `ask` and `complete`, at nodes behind round robin. */
import assert from 'node:assert/strict';
import type { RawClient } from '../support/mcp-http.js';
import { hasMethod, request } from '../support/mcp-http.js';

type Step = (client: RawClient, url: string) => Promise<void>;

const call = (name: string, args = {}) => ({ name, arguments: args });

function textOf(answer: { result?: Record<string, unknown>; error?: unknown }): string {
  const [content] = (answer.result?.['content'] ?? []) as { text?: string }[];
  return content?.text ?? JSON.stringify(answer);
}

/** The steps by their names, in order. */
export const STEPS: Record<string, Step> = {
  async list(client, url) {
    const { result } = await client.request(url, 'tools/list');
    const names = (result?.['tools'] as { name: string }[]).map(({ name }) => name);
    for (const name of ['add', 'report', 'count', 'ask', 'complete']) {
      assert.ok(names.includes(name), `no ${name} in ${names.join(', ')}`);
    }
  },

  async 'calls, on both nodes'(client, url) {
    const nodes = new Set<string | undefined>();
    for (const a of [1, 2, 3, 4]) {
      const id = client.nextId();
      const sum = await client.post(url, request(id, 'tools/call', call('add', { a, b: 1 })));
      nodes.add(sum.node);
      assert.equal(textOf(await sum.answer(id)), String(a + 1));
    }
    assert.equal(nodes.size, 2);
  },

  async 'notifications, of both nodes'(client, url) {
    const listener = await client.listen(url);
    for (const line of ['one', 'two']) {
      const id = client.nextId();
      const sent = await client.post(url, request(id, 'tools/call', call('report', { line })));
      assert.equal(textOf(await sent.answer(id)), 'reported');
      // Some servers send it with the call, some on the GET stream.
      const heard = () => [...(sent.stream?.messages ?? []), ...listener.messages];
      await until(() => JSON.stringify(heard()).includes(`"${line}"`));
    }
    listener.close();
  },

  async progress(client, url) {
    const id = client.nextId();
    const params = { ...call('count', { to: 3 }), _meta: { progressToken: 'mine' } };
    const { sse } = await client.post(url, request(id, 'tools/call', params));
    const { message } = await sse.next((event) => event.message?.id === id);
    assert.equal(textOf(message ?? {}), 'counted');
    const progress = sse.messages.filter(({ method }) => method === 'notifications/progress');
    assert.deepEqual(
      progress.map(({ params }) => [params?.['progressToken'], params?.['progress']]),
      [1, 2, 3].map((number) => ['mine', number]),
    );
  },

  async 'elicitation, answered on the other node'(client, url) {
    const listener = await client.listen(url);
    const id = client.nextId();
    const { sse } = await client.post(url, request(id, 'tools/call', call('ask')));
    const question = await Promise.any([
      sse.next(hasMethod('elicitation/create')),
      listener.next(hasMethod('elicitation/create')),
    ]);
    const content = { name: 'Ada' };
    await client.respond(url, question.message?.id ?? '', { action: 'accept', content });
    const { message } = await sse.next((event) => event.message?.id === id);
    assert.equal(textOf(message ?? {}), 'accept Ada');
    listener.close();
  },

  async 'sampling, answered on the other node'(client, url) {
    const listener = await client.listen(url);
    const id = client.nextId();
    const { sse } = await client.post(
      url,
      request(id, 'tools/call', call('complete', { text: 'x' })),
    );
    const asked = await Promise.any([
      sse.next(hasMethod('sampling/createMessage')),
      listener.next(hasMethod('sampling/createMessage')),
    ]);
    const content = { type: 'text', text: 'completed' };
    const result = { model: 'm', role: 'assistant', content };
    await client.respond(url, asked.message?.id ?? '', result);
    const { message } = await sse.next((event) => event.message?.id === id);
    assert.equal(textOf(message ?? {}), 'completed');
    listener.close();
  },

  async 'a call whose stream is cut, resumed on the other node'(client, url) {
    const id = client.nextId();
    const params = { ...call('count', { to: 8 }), _meta: { progressToken: 'cut' } };
    const sent = await client.post(url, request(id, 'tools/call', params));
    await sent.sse.first(2);
    sent.sse.close();
    const resumed = await client.get(url, { lastEventId: sent.sse.lastEventId ?? '' });
    assert.notEqual(resumed.node, sent.node);
    const { message } = await resumed.sse.next((event) => event.message?.id === id);
    assert.equal(textOf(message ?? {}), 'counted');
    const all = [...sent.sse.messages, ...resumed.sse.messages];
    assert.deepEqual(
      all.flatMap(({ params }) => params?.['progress'] ?? []),
      [1, 2, 3, 4, 5, 6, 7, 8],
    );
  },
};

export async function until(
  holds: () => boolean | Promise<boolean>,
  withinMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!(await holds())) {
    assert.ok(Date.now() < deadline, `Not within ${withinMs} ms: ${String(holds)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
