// Two processes of `next start`, each with a route that calls `mcp.fetch`, where Express is not installed.
const assert = require('node:assert');
const { spawn } = require('node:child_process');
const { once } = require('node:events');
const { play } = require('./session.cjs');

const NEXT = require.resolve('next/dist/bin/next');

/** Starts a process, and resolves with it and with the URL of the route. */
async function start() {
  const args = [NEXT, 'start', 'next', '--port', '0', '--hostname', '127.0.0.1'];
  const env = { ...process.env, NEXT_MANUAL_SIG_HANDLE: 'true', NEXT_TELEMETRY_DISABLED: '1' };
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  for await (const chunk of child.stdout.iterator({ destroyOnReturn: false })) {
    output += chunk;
    const [, port] = /http:\/\/127\.0\.0\.1:(\d+)/.exec(output) ?? [];
    if (port !== undefined && output.includes('Ready')) {
      child.stdout.resume();
      return { child, url: `http://127.0.0.1:${port}/mcp` };
    }
  }
  throw new Error(output);
}

async function main() {
  assert.throws(() => require('express'), { code: 'MODULE_NOT_FOUND' });
  const started = await Promise.all([start(), start()]);
  const played = await play(...started.map(({ url }) => url));
  const codes = started.map(async ({ child }) => {
    child.kill();
    const [code] = await once(child, 'exit');
    return code;
  });
  console.log(JSON.stringify({ ...played, codes: await Promise.all(codes) }));
}

void main();
