// Writes docs/reference/options.md and docs/reference/handle.md from the doc comments of the public types.
//
//     npm run docs [-- --check]
//
// `--check` writes nothing. It ends with code 1 if a page is not what it would write.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const COMMAND = 'npm run docs';

/** Each page: its title, what it says first, and the interfaces that it describes, each under a title of its own. */
const PAGES = [
  {
    path: 'docs/reference/options.md',
    title: 'Options',
    intro:
      'All options of `anynode()`, and of the functions that stand beside it. What happens when a client goes beyond a limit is ' +
      'in [limits](limits.md).',
    sections: [
      { name: 'AnynodeOptions', title: '`anynode(options)`', isLong: true },
      { name: 'Limits', title: 'Members of `limits`', of: 'limits.' },
      { name: 'TaskOptions', title: 'Members of `tasks`', of: 'tasks.' },
      { name: 'AuditOptions', title: 'Members of `audit`', of: 'audit.' },
      { name: 'CloseOptions', title: '`mcp.close(options)`' },
      { name: 'EventOptions', title: '`mcp.sessions.events(id, options)`' },
      { name: 'RequestOptions', title: '`mcp.session(id).request(request, schema, options)`' },
      { name: 'RedisBackplaneOptions', title: '`redisBackplane(options)`' },
      { name: 'AesGcmOptions', title: '`aesGcmCodec(options)` of `mcp-anynode/codec`' },
      { name: 'LegacySseOptions', title: '`legacySse(mcp, options)` of `mcp-anynode/legacy-sse`' },
      { name: 'TelemetryOptions', title: '`telemetry(options)` of `mcp-anynode/telemetry`' },
      { name: 'ObserveOptions', title: '`observe(options)` of `mcp-anynode/observe`' },
      { name: 'ArchiveOptions', title: '`archive(options)` of `mcp-anynode/audit`' },
      { name: 'SdkStoresOptions', title: '`sdkStores(options)` of `mcp-anynode/sdk-stores`' },
    ],
  },
  {
    path: 'docs/reference/handle.md',
    title: 'The handle',
    intro:
      'What `anynode()` returns, and what its members take and give. [Options](options.md) has the options of these functions.',
    sections: [
      { name: 'Anynode', title: '`const mcp = anynode(options)`' },
      { name: 'Health', title: '`mcp.health()`' },
      { name: 'SessionHandle', title: '`mcp.session(id)`' },
      { name: 'SessionState', title: '`mcp.session(id).state`' },
      { name: 'Notify', title: '`mcp.notify`' },
      { name: 'Directory', title: '`mcp.sessions`' },
      { name: 'SessionInfo', title: 'Session information' },
      { name: 'SessionEvent', title: 'Session events' },
      { name: 'SessionEventType', title: 'Types of session events' },
      { name: 'SdkStores', title: "The SDK's stores: members of the handle" },
      { name: 'ServerContext', title: 'What the factory (the option `server`) is given' },
      { name: 'AnynodeErrorCode', title: 'Errors: `code` of an `AnynodeError`' },
      { name: 'Observer', title: '`observe(options)` of `mcp-anynode/observe`' },
    ],
  },
];

const wanted = new Set(PAGES.flatMap(({ sections }) => sections.map(({ name }) => name)));
const found = interfacesOf(join(root, 'src'));

let stale = false;
for (const page of PAGES) {
  const path = join(root, page.path);
  const text = markdownOf(page);
  if (!process.argv.includes('--check')) writeFileSync(path, text);
  else if (readOr(path) !== text) {
    stale = true;
    console.error(`${page.path} is not what the types say: run \`${COMMAND}\``);
  }
}
process.exitCode = stale ? 1 : 0;

function readOr(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The wanted interfaces and type aliases by their names. Nothing is resolved: names are enough. */
function interfacesOf(folder) {
  const interfaces = new Map();
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue;
    const text = readFileSync(join(folder, name), 'utf8');
    const has = [...text.matchAll(/^export (?:interface|type) (\w+)/gm)].some(([, it]) =>
      wanted.has(it),
    );
    if (!has) continue;
    const source = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true);
    for (const node of source.statements) {
      if (!ts.isInterfaceDeclaration(node) && !ts.isTypeAliasDeclaration(node)) continue;
      if (!wanted.has(node.name.text)) continue;
      if (interfaces.has(node.name.text)) throw new Error(`${node.name.text} is declared twice`);
      interfaces.set(node.name.text, node);
    }
  }
  return interfaces;
}

function markdownOf({ path, title, intro, sections }) {
  const made = `<!-- Made from the doc comments of the types by \`${COMMAND}\`. Change those, and run it again. -->`;
  const parts = sections.map((section) => markdownOfSection(section, path));
  return `${[`# ${title}`, made, intro, ...parts].join('\n\n')}\n`;
}

function markdownOfSection({ name, title, of = '', isLong = false }, path) {
  const node = found.get(name);
  if (node === undefined) throw new Error(`There is no exported type ${name} in src`);
  if (ts.isTypeAliasDeclaration(node)) return `## ${title}\n\n${commentOf(node, path)}`;
  const members = node.members.filter(
    (member) => ts.isPropertySignature(member) || ts.isMethodSignature(member),
  );
  const described = members.map((member) => ({ member, text: commentOf(member, path) }));
  for (const { member, text } of described) {
    if (text === '' && (name.endsWith('Options') || name === 'Limits')) {
      throw new Error(`${name}.${member.name.getText()} has no doc comment`);
    }
  }
  // The heading says it already.
  const said = commentOf(node, path).replace(/^Options of `[^`]+`\.$/, '');
  const head = [`## ${title}`, said].filter((part) => part !== '');
  const body = isLong ? longBody(described) : shortBody(described, of);
  return [...head, ...body].join('\n\n');
}

/** A table that leads to a heading for each member. */
function longBody(described) {
  const rows = described.map(({ member, text }) => {
    const name = member.name.getText();
    return `| [\`${name}\`](#${name.toLowerCase()}) | ${defaultOf(text)} |`;
  });
  const table = ['| option | default |', '| --- | --- |', ...rows].join('\n');
  const parts = described.map(({ member, text }) =>
    [`### \`${member.name.getText()}\``, codeOf(member), text].join('\n\n'),
  );
  return [table, ...parts];
}

function shortBody(described, of) {
  const items = described.map(({ member, text }) => {
    const [first = '', ...others] = text.split('\n\n');
    const name = `**\`${of}${member.name.getText()}\`**`;
    const said = first === '' ? '' : `: ${first}`;
    const item = `- ${name} \`${typeOf(member)}\`${said}`;
    return [item, ...others.map((paragraph) => indented(paragraph))].join('\n\n');
  });
  return [items.join('\n')];
}

function indented(paragraph) {
  return paragraph
    .split('\n')
    .map((line) => `  ${line}`)
    .join('\n');
}

function codeOf(member) {
  return ['```', `${member.name.getText()}: ${typeOf(member)}`, '```'].join('\n');
}

/** As it is written, without the `| undefined` of every option. */
function typeOf(member) {
  const text = ts.isMethodSignature(member)
    ? member.getText().slice(member.name.getText().length).replace(/;$/, '')
    : (member.type?.getText() ?? 'unknown');
  return text
    .replace(/ \| undefined$/, '')
    .replace(/^\((.*)\)$/s, (whole, inner) => (isOneGroup(whole) ? inner : whole))
    .replaceAll(/\s+/g, ' ');
}

/** Whether the first parenthesis is closed by the last one. */
function isOneGroup(text) {
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '(') depth += 1;
    if (text[at] === ')') depth -= 1;
    if (depth === 0) return at === text.length - 1;
  }
  return false;
}

/** What the last sentence that begins with "Default" says. */
function defaultOf(text) {
  const [, said] = /(?:^|[\s(])Default:? ([^]*?)\.?$/.exec(text.split('\n\n')[0] ?? '') ?? [];
  return said === undefined ? '' : said.replaceAll('\n', ' ');
}

/** The doc comment of a node, with one line for a paragraph. Pages of docs/ that it names become links. */
function commentOf(node, path) {
  const [comment] = ts.getJSDocCommentsAndTags(node).slice(-1);
  if (comment === undefined || !ts.isJSDoc(comment)) return '';
  const text = ts.getTextOfJSDocComment(comment.comment) ?? '';
  return text
    .replaceAll(/\{@link (\w+)\}/g, '`$1`')
    .split(/\n\n+/)
    .map((paragraph) => paragraph.replaceAll(/\n(?!- )\s*/g, ' '))
    .join('\n\n')
    .replaceAll(/`docs\/([\w/-]+)\.md`/g, (_, page) => {
      const from = dirname(path).split('/').slice(1);
      const to = page.split('/');
      while (from.length > 0 && from[0] === to[0]) {
        from.shift();
        to.shift();
      }
      const up = from.map(() => '..');
      const [, title] = /^# (.*)$/m.exec(readFileSync(join(root, `docs/${page}.md`), 'utf8')) ?? [];
      return `[${title}](${[...up, ...to].join('/')}.md)`;
    });
}
