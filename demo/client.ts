import { parseArgs } from 'node:util';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { LoggingMessageNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { startEmbeddedNode } from './embedded-node.js';

/**
 * Calls a server with the official SDK's client, and shows how each request was answered. Without a URL it starts a node of
 * its own. The flags say how that node answers: `--sse` with event streams, `--json` with plain JSON. `--keep` leaves the
 * session alive, for `demo/continue.ts`.
 *
 * @example
 *     npx tsx demo/client.ts http://127.0.0.1:3000/mcp
 *     npx tsx demo/client.ts --sse
 *     npx tsx demo/client.ts --json
 */
const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    sse: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    keep: { type: 'boolean', default: false },
  },
});
const [given] = positionals;
const own = given === undefined;
if (flags.sse && flags.json) throw new Error('Either --sse or --json');
if (!own && (flags.sse || flags.json))
  throw new Error('The server at a URL chooses its mode itself');
if (own && flags.keep) throw new Error('--keep needs a URL: a session ends with its server');

const node = own
  ? await startEmbeddedNode({ responseMode: flags.json ? 'json' : 'sse' })
  : undefined;
const url = node?.url ?? given ?? '';

const transport = new StreamableHTTPClientTransport(new URL(url), {
  fetch: async (target, init) => {
    const response = await fetch(target, init);
    const { method, id } = JSON.parse((init?.body as string | undefined) ?? '{}') as {
      method?: string;
      id?: number;
    };
    const what = `${init?.method ?? 'GET'} ${method ?? ''}${id === undefined ? '' : ` #${id}`}`;
    const type = response.headers.get('content-type') ?? 'no body';
    const by = response.headers.get('x-anynode-node') ?? '?';
    console.log(`  ${what.padEnd(40)} ${response.status}  ${type.padEnd(32)}  node ${by}`);
    return response;
  },
});
const client = new Client({ name: 'plain-client', version: '1.0.0' });
client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
  console.log(`  < ${params.logger ?? 'log'}: ${String(params.data)}`);
});

console.log(`${url}\n`);
await client.connect(transport);
const { tools } = await client.listTools();
console.log(`  ${tools.length} tools: ${tools.map(({ name }) => name).join(', ')}`);
if (tools.some(({ name }) => name === 'count')) {
  // In JSON mode the response has no room for these notifications: they come on the GET stream.
  const { content } = await client.callTool({ name: 'count', arguments: { to: 3, everyMs: 50 } });
  console.log(`  ${JSON.stringify(content)}`);
}

if (flags.keep) {
  console.log(
    `\nThe session lives on:\n  npx tsx demo/continue.ts ${url} ${transport.sessionId ?? ''}`,
  );
} else {
  await transport.terminateSession();
}
await client.close();
await node?.stop();
