import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const PAGE = `The seams of an node node are full. It was \`seen\`, really. \`Code\` is passed over: \`teh seams\`.

| a table | its cells |
| --- | --- |
| teh cell | nobody |

${'One word '.repeat(18)}.
`;
const CODE = `/** Holds teh session of {@link Nobdy}. */
export const teh = 'teh';
// Sends an message.
`;

it('npm run prose finds each kind of fault, in pages and in comments', () => {
  const folder = mkdtempSync(join(tmpdir(), 'prose-'));
  try {
    const paths = [join(folder, 'page.md'), join(folder, 'code.ts')];
    writeFileSync(join(folder, 'page.md'), PAGE);
    writeFileSync(join(folder, 'code.ts'), CODE);
    const { status, stderr } = spawnSync(process.execPath, ['scripts/prose.mjs', ...paths], {
      encoding: 'utf8',
    });
    const found = [...stderr.matchAll(/(\w+\.\w+:\d+):\d+ {2}([^,:]+)/g)];
    expect(found.map(([, where, what]) => [where, what])).toEqual([
      ['page.md:1', 'Unexpected repeated `node`'],
      ['page.md:1', 'Unexpected article `an` before `node`'],
      ['page.md:5', 'Unexpected unknown word `teh`'],
      ['page.md:7', 'The sentence goes on for 36 words'],
      ['page.md:1', 'Avoid "seams"'],
      ['page.md:1', 'Avoid "really"'],
      ['page.md:5', 'Avoid "nobody"'],
      ['code.ts:3', 'Unexpected article `an` before `message`'],
      ['code.ts:1', 'Unexpected unknown word `teh`'],
    ]);
    expect(status).toBe(1);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
