/**
 * Tries any server, unchanged: two processes of it, a gateway beside each, nginx in front. The command has to serve
 * http://127.0.0.1:$PORT/mcp, with the tools of `session.ts`. At the end one of its processes is killed, and started again.
 * The session has to live on, at its node too.
 *
 * @example
 *     npx tsx test/frameworks/try.ts python3 test/frameworks/python-server.py
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { createRequire } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { OutputTail } from '../rig/output-tail.js';
import { startNginx } from '../rig/nginx.js';
import { freePort } from '../rig/ports.js';
import { startRedis } from '../rig/redis.js';
import { RawClient, request } from '../support/mcp-http.js';
import { STEPS, until } from './session.js';

const [program = '', ...args] = process.argv.slice(2);
if (program === '') throw new Error('Which server? Give the command that starts it');

const processes: { child: ChildProcess; output: OutputTail }[] = [];
const open: { stop: () => Promise<unknown> }[] = [];
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const cli = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** Resolves when it takes connections. */
async function start(port: number, command: string, ...rest: string[]): Promise<ChildProcess> {
  const env = { ...process.env, PORT: String(port) };
  const child = spawn(command, rest, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  processes.push({ child, output: new OutputTail(child.stdout, child.stderr) });
  await until(() => accepts(port), 30_000);
  return child;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function play(): Promise<void> {
  const redis = await startRedis();
  open.push(redis);
  const [first, second] = [await freePort(), await freePort()];
  const server = await start(first, program, ...args);
  await start(second, program, ...args);
  const gateways: number[] = [];
  for (const port of [first, second]) {
    const own = await freePort();
    const upstream = `http://127.0.0.1:${port}/mcp`;
    const options = ['--upstream', upstream, '--redis', redis.url, '--port', String(own)];
    await start(own, process.execPath, '--import', tsx, cli, ...options);
    gateways.push(own);
  }
  const nginx = await startNginx({ upstreams: gateways });
  open.push(nginx);
  const url = `${nginx.url}/mcp`;

  const client = new RawClient();
  const { result } = await client.initialize(url, {
    capabilities: { elicitation: {}, sampling: {} },
  });
  console.log(`${JSON.stringify(result?.['serverInfo'])}, ${String(result?.['protocolVersion'])}`);
  for (const [name, step] of Object.entries(STEPS)) {
    await step(client, url);
    console.log(`✔ ${name}`);
  }

  await kill(server);
  const outcomes = new Set<string>();
  for (let count = 0; count < 4; count += 1) outcomes.add(await add(client, url));
  console.log(`✔ a process is killed: calls give ${[...outcomes].join(', ')}`);
  await start(first, program, ...args);
  await until(async () => {
    const both = [await add(client, url), await add(client, url)];
    return both.every((outcome) => outcome === '3');
  }, 40_000);
  for (const step of Object.values(STEPS)) await step(client, url);
  console.log('✔ it is started again: the session goes on, all steps once more');
  (await client.delete(url)).expect(200);
  client.close();
}

async function add(client: RawClient, url: string): Promise<string> {
  const id = client.nextId();
  const params = { name: 'add', arguments: { a: 1, b: 2 } };
  const { result, error } = await (
    await client.post(url, request(id, 'tools/call', params))
  ).answer(id);
  const reason = (error?.data as { reason?: string } | undefined)?.reason;
  return reason ?? (result?.['content'] as { text: string }[])[0]?.text ?? 'nothing';
}

try {
  await play();
} catch (error) {
  process.exitCode = 1;
  console.error(error);
  for (const { child, output } of processes)
    console.error(child.spawnargs.join(' '), '\n', output.text);
} finally {
  for (const { child } of processes) await kill(child);
  for (const service of open.reverse()) await service.stop();
}
