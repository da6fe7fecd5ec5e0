// Two processes of the command in front of a server at a URL, where no SDK is installed.
const { spawn } = require('node:child_process');
const { createServer, request } = require('node:http');
const { once } = require('node:events');
const { join } = require('node:path');
const { createInterface } = require('node:readline');
const { play, settings } = require('./session.cjs');

const COMMAND = join(__dirname, 'node_modules/mcp-anynode/dist/cli/main.js');

function start() {
  const { redis, prefix } = settings();
  const options = ['--upstream', process.env.UPSTREAM, '--redis', redis, '--prefix', prefix];
  const args = [COMMAND, 'serve', ...options, '--port', '0', '--json'];
  return spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function main() {
  const children = [start(), start()];
  try {
    const lines = children.map(({ stdout }) => once(createInterface(stdout), 'line'));
    const urls = (await Promise.all(lines)).map(([line]) => new URL(JSON.parse(line).listening));
    // A balancer that sends each request to the next process.
    let requests = 0;
    const balancer = createServer((req, res) => {
      const { hostname, port } = urls[requests++ % urls.length];
      const { url: path, method, headers } = req;
      const out = request({ hostname, port, path, method, headers, agent: false }, (answer) => {
        res.writeHead(answer.statusCode, answer.headers);
        answer.pipe(res);
      });
      req.pipe(out);
    }).listen(0, '127.0.0.1');
    await once(balancer, 'listening');
    const played = await play(`http://127.0.0.1:${balancer.address().port}${urls[0].pathname}`);
    console.log(JSON.stringify(played));
    balancer.close();
    balancer.closeAllConnections();
  } finally {
    await Promise.all(children.map((child) => (child.kill(), once(child, 'exit'))));
  }
}

void main();
