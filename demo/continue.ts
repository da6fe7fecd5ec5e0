import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { LATEST_PROTOCOL_VERSION } from '@modelcontextprotocol/sdk/types.js';

/**
 * Continues a session by its id, without `initialize`: another process of a client, or the same one restarted.
 *
 * @example
 *     npx tsx demo/continue.ts http://127.0.0.1:3000/mcp <session id>
 */
const [url, sessionId] = process.argv.slice(2);
if (url === undefined || sessionId === undefined) {
  throw new Error('Usage: npx tsx demo/continue.ts <url> <session id>');
}

let answeredBy = '?';
const transport = new StreamableHTTPClientTransport(new URL(url), {
  // With an id the client takes the session as initialized.
  sessionId,
  fetch: async (target, init) => {
    const response = await fetch(target, init);
    answeredBy = response.headers.get('x-anynode-node') ?? '?';
    return response;
  },
});
// What `initialize` would have told the transport.
transport.setProtocolVersion(LATEST_PROTOCOL_VERSION);

const client = new Client({ name: 'continuing-client', version: '1.0.0' });
await client.connect(transport);
const { tools } = await client.listTools();
console.log(`tools/list: ${tools.length} tools, from node ${answeredBy}`);
const { content } = await client.callTool({ name: 'test_simple_text' });
console.log(`tools/call: ${JSON.stringify(content)}, from node ${answeredBy}`);
await client.close();
