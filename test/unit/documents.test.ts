/** Everything that the documents point at exists: the tests that hold a promise, files, and headings. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const REPOSITORY = 'https://github.com/mcp-anynode/mcp-anynode';

const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');

const { files } = JSON.parse(textOf('package.json')) as { files: string[] };
const isPackaged = (path: string): boolean =>
  /^(README|LICENSE|package)\b/.test(path) ||
  files.some((name) => path === name || path.startsWith(`${name}/`));

const pagesOf = (folder: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md') && !name.includes('node_modules'))
    .map((name) => join(folder, name));
const DOCUMENTS = readdirSync(root)
  .filter((name) => name.endsWith('.md'))
  .concat(['demo', 'docs', 'test'].flatMap(pagesOf))
  .sort();

/** The text of a page without its code blocks. */
const proseOf = (path: string): string => textOf(path).replaceAll(/^ *```[^]*?^ *```$/gm, '');

/** Makes anchors of the headings as GitHub does. A heading that occurs again gets a number. */
function anchorsOf(path: string): string[] {
  const headings = [...proseOf(path).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading);
  const anchors: string[] = [];
  for (const heading of headings) {
    const anchor = heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-');
    const before = anchors.filter((other) => other === anchor).length;
    anchors.push(before === 0 ? anchor : `${anchor}-${before}`);
  }
  return anchors;
}

/** The file in this repository that a link leads to, or `undefined` if it leads elsewhere. */
function targetOf(document: string, link: string): { path: string; anchor?: string } | undefined {
  const [url = '', anchor] = link.split('#');
  const inRepository = new RegExp(`^${REPOSITORY}/(?:blob|tree)/main/(.*)`).exec(url)?.[1];
  if (inRepository === undefined && /^[a-z]+:/.test(url)) return undefined;
  const path = inRepository ?? (url === '' ? document : join(dirname(document), url));
  return { path, ...(anchor !== undefined && { anchor }) };
}

it('each test that guarantees.md names exists', () => {
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

it.each(DOCUMENTS)('each link of %s leads somewhere, also from the package', (document) => {
  const links = [...proseOf(document).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
  const broken = links.filter((link) => {
    const target = targetOf(document, link);
    if (target === undefined) return false;
    const { path, anchor } = target;
    if (!existsSync(join(root, path))) return true;
    // A page in the package may only link to files in the package, and to web addresses.
    if (isPackaged(document) && !isPackaged(path) && !link.startsWith('https:')) return true;
    return anchor !== undefined && !anchorsOf(path).includes(anchor);
  });
  expect(broken).toEqual([]);
});

it('README.md has at most 130 lines', () => {
  expect(textOf('README.md').trimEnd().split('\n').length).toBeLessThanOrEqual(130);
});

it('docs/README.md links to each page of docs/', () => {
  const found = new Set(['docs/README.md']);
  for (const page of found) {
    for (const [, link = ''] of proseOf(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      const path = targetOf(page, link)?.path;
      if (path?.startsWith('docs/') && path.endsWith('.md') && existsSync(join(root, path))) {
        found.add(path);
      }
    }
  }
  expect(pagesOf('docs').filter((page) => !found.has(page))).toEqual([]);
});
