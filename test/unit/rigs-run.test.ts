import { execFile } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { activeResources, leftBehind } from '../support/leaks.js';

it('a run ends with its tally after failures of every kind', async () => {
  const config = fileURLToPath(new URL('./fixtures/tally/vitest.config.ts', import.meta.url));
  const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
  const output = await new Promise<string>((resolve) => {
    execFile(
      process.execPath,
      [vitest, 'run', '--no-color', '--config', config],
      (_error, out, err) => resolve(err + out),
    );
  });
  expect(output.trimEnd().split('\n').at(-1)).toBe('3 passed, 5 failed, 2 skipped');
  expect(output).toMatch(/Unhandled Rejection[^]*nobody listens/);
  expect(output).toContain('× silences Vitest');
});

it('leftBehind() names each thing that was not closed', async () => {
  const before = activeResources();
  const server = createServer().listen(0);
  expect(await leftBehind(before, { withinMs: 0 })).toEqual({ TCPServerWrap: 1 });
  server.close();
  expect(await leftBehind(before)).toEqual({});
});
