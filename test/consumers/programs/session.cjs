// Plays a session with `fetch`, and serves one. Programs give it the modules as they have loaded them.
const { once } = require('node:events');
const { createServer } = require('node:http');

const ACCEPT = {
  accept: 'application/json, text/event-stream',
  'content-type': 'application/json',
};

/** Plays a session with a server that has the tool `add`, at each URL in turn, and returns what the client got. */
async function play(...urls) {
  const headers = { ...ACCEPT };
  let requests = 0;
  const next = () => urls[requests++ % urls.length];
  const post = async (message) => {
    const body = JSON.stringify({ jsonrpc: '2.0', ...message });
    const response = await fetch(next(), { method: 'POST', headers, body });
    const text = await response.text();
    const lines = text.split('\n').filter((line) => /^data: \{|^\{/.test(line));
    const [answer] = lines.map((line) => JSON.parse(line.replace(/^data: /, '')));
    if (!response.ok) throw new Error(`${response.status} ${text}`);
    return { response, answer };
  };
  const clientInfo = { name: 'consumer', version: '1.0.0' };
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo };
  const { response, answer } = await post({ id: 1, method: 'initialize', params });
  headers['mcp-session-id'] = response.headers.get('mcp-session-id');
  headers['mcp-protocol-version'] = answer.result.protocolVersion;
  await post({ method: 'notifications/initialized' });
  const answers = [];
  for (const id of [2, 3]) {
    const call = { name: 'add', arguments: { a: id, b: 1 } };
    const { answer } = await post({ id, method: 'tools/call', params: call });
    answers.push(answer.result.content[0].text);
  }
  const ended = await fetch(next(), { method: 'DELETE', headers });
  return { version: answer.result.protocolVersion, answers, ended: ended.ok };
}

/** Mounts nodes at one path in turn, plays a session, and closes all. Without Express, it takes the nodes' listeners. */
async function serve({ express, nodes }) {
  await Promise.all(nodes.map((node) => node.ready()));
  let requests = 0;
  const next = () => nodes[requests++ % nodes.length];
  const listener = express
    ? express().use('/mcp', (...args) => next()(...args))
    : (req, res) => next().listener(req, res);
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    return await play(`http://127.0.0.1:${server.address().port}/mcp`);
  } finally {
    await Promise.all(nodes.map((node) => node.close()));
    server.close();
  }
}

/** The settings of the test: Redis, and a prefix of its own. */
const settings = () => ({ redis: process.env.REDIS_URL, prefix: process.env.PREFIX });

module.exports = { play, serve, settings };
