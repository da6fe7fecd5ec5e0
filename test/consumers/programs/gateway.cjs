// Nodes in front of a server at a URL, where neither an SDK nor Express is installed.
const assert = require('node:assert');
const { anynode, memoryBackplane, redisBackplane } = require('mcp-anynode');
const { serve, settings } = require('./session.cjs');

/** A handler of Express cannot be called here. Both the answer and the log have to say so. */
async function needsExpress() {
  const lines = [];
  const logger = { warn() {}, error: (line) => lines.push(line) };
  const handler = (_req, res) => res.end();
  const node = anynode({ handler, backplane: memoryBackplane(), logger });
  await assert.rejects(serve({ nodes: [node] }), /^Error: 503 .*server_unreachable/);
  assert.match(lines.join('\n'), /`handler` needs the package express.*npm install express/);
}

async function main() {
  for (const name of [
    '@modelcontextprotocol/sdk/types.js',
    '@modelcontextprotocol/server',
    'express',
  ]) {
    assert.throws(() => require(name), { code: 'MODULE_NOT_FOUND' });
  }
  const upstream = process.env.UPSTREAM;
  const nodes = [1, 2].map(() => anynode({ upstream, backplane: redisBackplane(settings()) }));
  await needsExpress();
  console.log(JSON.stringify(await serve({ nodes })));
}

void main();
