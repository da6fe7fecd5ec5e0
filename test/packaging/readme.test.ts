import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { root, temporaryFolder, tsc, writeJson } from './npm.js';

/** Makes a program listen on a free port, whichever port it asks for, and print that port for the test. */
const ANY_PORT = `
import { Server } from 'node:net';
const { listen } = Server.prototype;
Server.prototype.listen = function (_port, ...rest) {
  this.once('listening', () => console.log('listening on ' + this.address().port));
  return listen.call(this, 0, ...rest);
};
`;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
/** Programs, each with the name of the file that it is written to. */
let programs: { name: string; code: string }[];

/** The files that the documents expect the reader to have. */
const EXISTING = {
  'server.ts': `import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
export const buildServer = () => new McpServer({ name: 'yours', version: '1.0.0' });
`,
  'existing.ts': `import type { AuthInfo } from '@modelcontextprotocol/sdk/server/auth/types.js';
import { Router } from 'express';
export const existing = Router();
export const verifyAccessToken = (token: string): Promise<AuthInfo> =>
  Promise.resolve({ token, clientId: 'yours', scopes: [] });
`,
};

beforeAll(async () => {
  const pages = (await readdir(join(root, 'docs'), { recursive: true }))
    .filter((name) => name.endsWith('.md') && name !== 'tutorial.md')
    .map((name) => join('docs', name));
  // The tutorial comes first, because a test runs its first program.
  const documents = ['docs/tutorial.md', 'README.md', ...pages];
  const texts = await Promise.all(documents.map((path) => readFile(join(root, path), 'utf8')));
  programs = documents.flatMap((path, at) =>
    programsOf(texts[at] ?? '').map((code, number) => ({
      name: `${path.replaceAll(/\W+/g, '-')}-${number + 1}.ts`,
      code,
    })),
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
    [...Object.entries(EXISTING), ...programs.map(({ name, code }) => [name, code] as const)].map(
      ([name, code]) => writeFile(join(folder.path, name), code),
    ),
  );
});

afterAll(() => folder.remove());

/**
 * Returns the programs in the TypeScript blocks of a document. A diff block stands for the code after the change. A block
 * with imports is a program, and a block without imports continues the program before it.
 */
function programsOf(document: string): string[] {
  const programs: string[] = [];
  for (const [, indent = '', language, text = ''] of document.matchAll(BLOCK)) {
    const lines = text.split('\n').map((line) => line.slice(indent.length));
    const kept = language === 'ts' ? lines : lines.filter((line) => !line.startsWith('-'));
    const code = kept.map((line) => (language === 'ts' ? line : line.slice(1))).join('\n');
    if (/^import /m.test(code)) programs.push(code);
    else programs.push(`${programs.at(-1) ?? ''}\n{\n${code}}\n`);
  }
  return programs;
}

const BLOCK = /^( *)```(ts|diff)\n([^]*?)^ *```$/gm;

it('every TypeScript block of the documents compiles', async () => {
  expect(programs.length).toBeGreaterThan(20);
  await tsc(folder.path);
}, 120_000); // as long as the machine takes

it('the first program of the tutorial serves a session, and ends on SIGTERM', async () => {
  const env = { ...process.env };
  delete env.REDIS_URL;
  const tsx = join(root, 'node_modules/tsx/dist/cli.mjs');
  const args = [
    tsx,
    '--tsconfig',
    'tsconfig.json',
    '--import',
    './any-port.mjs',
    programs[0]?.name ?? '',
  ];
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
