import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root, temporaryFolder, tsc, writeJson } from './npm.js';

/** Whatever port is asked for, the system gives a free one, and the test is told which. */
const ANY_PORT = `
import { Server } from 'node:net';
const { listen } = Server.prototype;
Server.prototype.listen = function (_port, ...rest) {
  this.once('listening', () => console.log('listening on ' + this.address().port));
  return listen.call(this, 0, ...rest);
};
`;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let blocks: string[];

beforeAll(async () => {
  // README's come first: the first of all is run.
  const documents = ['README.md', 'docs/operations.md', 'docs/guarantees.md', 'docs/cli.md'];
  const texts = await Promise.all(documents.map((path) => readFile(join(root, path), 'utf8')));
  blocks = texts.flatMap((text) =>
    [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code = '']) => code),
  );
  folder = await temporaryFolder();
  await symlink(join(root, 'node_modules'), join(folder.path, 'node_modules'));
  await writeJson(folder.path, 'package.json', { private: true, type: 'module' });
  await writeJson(folder.path, 'tsconfig.json', {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: {
      typeRoots: [join(root, 'node_modules/@types')],
      paths: {
        'mcp-anynode': [join(root, 'src/index.ts')],
        'mcp-anynode/observe': [join(root, 'src/operator/index.ts')],
        'mcp-anynode/*': [join(root, 'src/*/index.ts')],
      },
    },
    include: ['*.ts'],
  });
  await writeFile(join(folder.path, 'any-port.mjs'), ANY_PORT);
  await Promise.all(
    blocks.map((_, at) => writeFile(join(folder.path, `block-${at + 1}.ts`), moduleOf(at))),
  );
});

afterAll(() => folder.remove());

/** A program stands for itself; any other block goes on where the last program ended. */
function moduleOf(at: number): string {
  const code = blocks[at] ?? '';
  const program = blocks.slice(0, at).findLast(isProgram);
  if (isProgram(code) || program === undefined) return code;
  const parts = code.match(PART) ?? [];
  return `${parts.join('')}${program}\n{\n${code.replace(PART, '')}}\n`;
}

/** Imports an optional part of the package, in a block that adds it to a program. */
const PART = /^import .* from 'mcp-anynode\/.*\n/gm;

/** It imports more than optional parts. */
function isProgram(code: string): boolean {
  return /^import /m.test(code.replace(PART, ''));
}

it('every TypeScript block compiles', async () => {
  expect(blocks.length).toBeGreaterThan(0);
  await tsc(folder.path);
}, 120_000); // as long as the machine takes

it('the first one runs: it serves a session, and ends on SIGTERM', async () => {
  const env = { ...process.env };
  delete env.REDIS_URL;
  const tsx = join(root, 'node_modules/tsx/dist/cli.mjs');
  const args = [tsx, '--tsconfig', 'tsconfig.json', '--import', './any-port.mjs', 'block-1.ts'];
  const child = spawn(process.execPath, args, {
    cwd: folder.path,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const client = new Client({ name: 'reader', version: '1.0.0' });
  try {
    const port = await portOf(child.stdout);
    const url = new URL(`http://127.0.0.1:${port}/mcp`);
    const transport = new StreamableHTTPClientTransport(url);
    await client.connect(transport);
    expect(await client.callTool({ name: 'greet', arguments: { name: 'Ada' } })).toEqual({
      content: [{ type: 'text', text: 'Hello, Ada!' }],
    });
    await transport.terminateSession();
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  } finally {
    await client.close();
    child.kill('SIGKILL');
  }
});

async function portOf(output: NodeJS.ReadableStream): Promise<string> {
  for await (const line of createInterface(output)) {
    const [, port] = /^listening on (\d+)$/.exec(line) ?? [];
    if (port !== undefined) return port;
  }
  throw new Error('it ended without listening');
}
