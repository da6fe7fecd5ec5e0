/** What the documents point at is there: tests that hold a promise, files, and headings. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const DOCUMENTS = ['README.md', 'SECURITY.md', 'CHANGELOG.md', 'demo/README.md'].concat(
  readdirSync(join(root, 'docs')).map((name) => `docs/${name}`),
);

const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');

/** As GitHub makes anchors of headings. */
function anchorsOf(path: string): string[] {
  const headings = [...textOf(path).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

it('each test that guarantees.md names is there', () => {
  const there = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' });
  const folders = new Set(there.map((path) => path.split('/')[0]));
  const named = [...textOf('docs/guarantees.md').matchAll(/`(([a-z]+)\/[\w/*.-]+)`/g)]
    .filter(([, , folder]) => folders.has(folder))
    .map(([, name = '']) => name);
  expect(named.length).toBeGreaterThan(50);
  const missing = named.filter((name) => {
    const [before = '', after] = name.split('*');
    return !there.some((path) =>
      after === undefined
        ? [name, `${name}.ts`, `${name}.test.ts`].includes(path)
        : path.startsWith(before) && path.endsWith('.test.ts'),
    );
  });
  expect(missing).toEqual([]);
});

it.each(DOCUMENTS)('each link of %s leads somewhere', (document) => {
  const links = [...textOf(document).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
  const broken = links.filter((link) => {
    if (/^https?:/.test(link)) return false;
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? document : join(dirname(document), path);
    if (!existsSync(join(root, target))) return true;
    return anchor !== undefined && !anchorsOf(target).includes(anchor);
  });
  expect(broken).toEqual([]);
});
