/** A server of another framework, unchanged, behind two nodes and round robin. */
import { beforeAll, expect, it, onTestFinished } from 'vitest';
import { startNginx } from '../rig/nginx.js';
import { freePort } from '../rig/ports.js';
import { startNode } from '../rig/processes.js';
import { startRedis } from '../rig/redis.js';
import { installFrameworks } from '../frameworks/install.js';
import { hasMethod, RawClient, request } from '../support/mcp-http.js';
import { useServices } from './support/services.js';

const started = useServices();
let url = '';

beforeAll(async () => {
  await installFrameworks();
  const redis = await started(startRedis());
  const fastmcp = await started(
    startNode({
      script: new URL('../frameworks/fastmcp-server.mjs', import.meta.url),
      env: { PORT: String(await freePort()) },
    }),
  );
  const script = new URL('../../demo/node.ts', import.meta.url);
  const env = { REDIS_URL: redis.url, UPSTREAM: `${fastmcp.url}/mcp` };
  const first = await started(startNode({ script, env }));
  const second = await started(startNode({ script, env }));
  const nginx = await started(startNginx({ upstreams: [first.port, second.port] }));
  url = `${nginx.url}/mcp`;
}, 300_000);

const text = (line: string) => ({ result: { content: [{ text: line }] } });
const call = (name: string, args = {}) => ({ name, arguments: args });

it('FastMCP serves list, call, notification, elicitation and resume over two nodes', async () => {
  const client = new RawClient();
  onTestFinished(() => client.close());
  await client.initialize(url, { capabilities: { elicitation: {} } });
  const { result } = await client.request(url, 'tools/list');
  expect((result?.tools as { name: string }[]).map(({ name }) => name)).toEqual([
    ...['add', 'report', 'ask'],
  ]);
  const nodes = new Set<string | undefined>();
  for (const a of [1, 2, 3, 4]) {
    const id = client.nextId();
    const sum = await client.post(url, request(id, 'tools/call', call('add', { a, b: 1 })));
    nodes.add(sum.node);
    expect(await sum.answer(id)).toMatchObject(text(String(a + 1)));
  }
  expect(nodes.size).toBe(2);

  const listener = await client.listen(url);
  // Twice, so that each node has said something.
  for (const line of ['one', 'two']) {
    const reported = await client.request(url, 'tools/call', call('report', { line }));
    expect(reported).toMatchObject(text('reported'));
    const { message } = await listener.next(hasMethod('notifications/message'));
    expect(JSON.stringify(message?.params)).toContain(line);
  }
  const { lastEventId } = listener;
  listener.close();

  // While nobody listens: what is asked and said is there for the one who comes back.
  const asked = client.request(url, 'tools/call', call('ask'));
  await client.request(url, 'tools/call', call('report', { line: 'three' }));
  const resumed = await client.listen(url, { lastEventId: lastEventId ?? '' });
  const question = await resumed.next(hasMethod('elicitation/create'));
  const content = { name: 'Ada' };
  await client.respond(url, question.message?.id ?? '', { action: 'accept', content });
  expect(await asked).toMatchObject(text('accept Ada'));
  const { message } = await resumed.next(hasMethod('notifications/message'));
  expect(JSON.stringify(message?.params)).toContain('three');
  expect(JSON.stringify(resumed.messages)).not.toMatch(/one|two/);
  (await client.delete(url)).expect(200);
});
