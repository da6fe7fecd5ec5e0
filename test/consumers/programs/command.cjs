// Two processes of the command in front of a server at a URL, where neither an SDK nor Express is installed.
const { spawn } = require('node:child_process');
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
    const urls = (await Promise.all(lines)).map(([line]) => JSON.parse(line).listening);
    console.log(JSON.stringify(await play(...urls)));
  } finally {
    await Promise.all(children.map((child) => (child.kill(), once(child, 'exit'))));
  }
}

void main();
