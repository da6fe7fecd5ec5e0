// Checks the language of the documents and of the comments in `src`, and ends with code 1 if it finds something.
//
//     npm run prose [-- FILE …]
//
// It needs no network. The rules and the vocabulary of the project are in the folder `prose`.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import dictionary from 'dictionary-en';
import remarkGfm from 'remark-gfm';
import remarkParse from 'remark-parse';
import remarkRetext from 'remark-retext';
import retextEnglish from 'retext-english';
import retextIndefiniteArticle from 'retext-indefinite-article';
import retextRepeatedWords from 'retext-repeated-words';
import retextSpell from 'retext-spell';
import retextSyntaxUrls from 'retext-syntax-urls';
import { unified } from 'unified';
import { commentsOf } from './prose/comments.mjs';
import { retextAvoid, retextFullStops, retextSentenceLength } from './prose/rules.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Pages that `npm run docs` writes from comments. The comments are checked in their place. */
const GENERATED = ['docs/reference/options.md', 'docs/reference/handle.md'];

const prose = unified()
  .use(retextEnglish)
  .use(retextSyntaxUrls)
  .use(retextFullStops)
  .use(retextRepeatedWords)
  .use(retextIndefiniteArticle)
  .use(retextSpell, {
    dictionary,
    personal: readFileSync(join(root, 'scripts/prose/words.txt'), 'utf8'),
  })
  .use(retextSentenceLength)
  .use(retextAvoid);
const markdown = unified()
  .use(remarkParse)
  .use(remarkGfm)
  .use(remarkCells)
  .use(remarkRetext, prose)
  .use(withoutOutput)
  .freeze();

const given = process.argv.slice(2);
const paths = given.length > 0 ? given.map((path) => relative(root, path)) : allPaths();
for (const path of paths) {
  const text = readFileSync(join(root, path), 'utf8');
  const value = path.endsWith('.md') ? text : commentsOf(text);
  const { messages } = await markdown.process({ path, value });
  for (const { line, column, reason } of messages) {
    console.error(`${path}:${line}:${column}  ${reason}`);
    process.exitCode = 1;
  }
}

/** Makes a paragraph of each cell of a table, because `remark-retext` passes over tables. */
function remarkCells() {
  return function replaceTables(node) {
    if (node.children === undefined) return;
    node.children = node.children.flatMap((child) => {
      if (child.type === 'table') {
        return child.children.flatMap(({ children }) => children.map(paragraphOf));
      }
      replaceTables(child);
      return [child];
    });
  };
}

function paragraphOf({ children, position }) {
  const { end } = position;
  // Without it the text of the next cell would go on with this one.
  const last = { type: 'text', value: '\n\n', position: { start: end, end } };
  return { type: 'paragraph', children: [...children, last], position };
}

function withoutOutput() {
  this.compiler = () => '';
}

function allPaths() {
  const pages = [
    'README.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    'demo/README.md',
    'test/chaos/README.md',
    'test/simulation/README.md',
    ...filesIn('docs', /\.md$/),
  ];
  return [...pages.filter((path) => !GENERATED.includes(path)), ...filesIn('src', /\.(ts|lua)$/)];
}

function filesIn(folder, name) {
  const entries = readdirSync(join(root, folder), { recursive: true });
  return entries
    .filter((entry) => name.test(entry))
    .map((entry) => join(folder, entry))
    .sort();
}
