/** The Lua files of the scripts. Each names what it needs, and can be read without knowing which files include it. */
import { readdirSync, readFileSync } from 'node:fs';
import { Redis } from 'ioredis';
import { beforeAll, expect, it, onTestFinished } from 'vitest';
import { SCRIPT_TEXTS } from '../../src/backplane/redis/commands/script-texts.js';
import { defineScripts } from '../../src/backplane/redis/commands/scripts.js';
import { luaNames, type LuaNames } from '../support/lua-names.js';
import { redisUrl } from '../support/redis-fixture.js';

/** What Lua and Redis give to each script. */
const GIVEN =
  /^(redis|KEYS|ARGV|string|table|math|error|ipairs|pairs|select|tonumber|tostring|type|unpack)$/;

interface LuaFile extends LuaNames {
  text: string;
  includes: string[];
  hasCode: boolean;
}

const folder = new URL('../../src/backplane/redis/scripts/', import.meta.url);
/** The files by their path without the ending, as an include names them: `includes/clock.lua` is `clock`. */
const files = new Map<string, LuaFile>();

beforeAll(async () => {
  const redis = new Redis(redisUrl());
  for (const path of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!path.endsWith('.lua')) continue;
    const name = path.replaceAll('\\', '/').replace(/\.lua$/, '');
    files.set(name, await parse(redis, readFileSync(new URL(path, folder), 'utf8')));
  }
  redis.disconnect();
});

async function parse(redis: Redis, text: string): Promise<LuaFile> {
  const includes = [...text.matchAll(/^--- @include "(.+)"$/gm)].map(
    ([, name = '']) => `includes/${name}`,
  );
  const hasCode = /^ *[^\s-]/m.test(text);
  return { text, includes, hasCode, ...(await luaNames(redis, text)) };
}

function problems(file: LuaFile): string[] {
  const free = [...file.free].filter((name) => !GIVEN.test(name));
  const provided = file.includes.map((name) => files.get(name)?.declared ?? new Set<string>());
  const missing = free
    .filter((name) => !provided.some((names) => names.has(name)))
    .map((name) => `no include declares ${name}`);
  // A script without code of its own consists of its includes.
  const idle = (file.hasCode ? file.includes : [])
    .filter((_, at) => !free.some((name) => provided[at]?.has(name)))
    .map((name) => `it needs nothing of ${name}`);
  return [...missing, ...idle];
}

it('each file uses only names that it or a file that it includes declares', () => {
  const found = [...files].flatMap(([name, file]) =>
    problems(file).map((problem) => `${name}.lua: ${problem}`),
  );
  expect(found).toEqual([]);
});

it('the check finds a missing include, and an include that is not needed', async () => {
  const redis = new Redis(redisUrl());
  onTestFinished(() => redis.disconnect());
  const { text = '' } = files.get('touch') ?? {};
  const without = text.replace('--- @include "lifetimes"\n', '--- @include "clock"\n');
  expect(problems(await parse(redis, without))).toEqual([
    'no include declares expireIn',
    'no include declares expireLog',
    'it needs nothing of includes/clock',
  ]);
});

it('each include is included by a file, and each script is a command', () => {
  const names = [...files.keys()];
  const included = new Set([...files.values()].flatMap(({ includes }) => includes));
  expect(names.filter((name) => name.startsWith('includes/')).sort()).toEqual([...included].sort());
  const commands = Object.keys(defineScripts(new Redis({ lazyConnect: true })));
  const scripts = names.filter((name) => !name.startsWith('includes/'));
  expect(commands.filter((name) => name.startsWith('anynode:')).sort()).toEqual(
    scripts.map((name) => `anynode:${name}`).sort(),
  );
});

it('each script begins with a comment that names its KEYS, its ARGV and what it returns', () => {
  const without = Object.keys(SCRIPT_TEXTS).filter((name) => {
    const [header = ''] = /^(--.*\n)+/.exec(files.get(name)?.text ?? '') ?? [];
    return ![/^-- KEYS\b/m, /\bARGV: /, /^-- Returns /m].every((part) => part.test(header));
  });
  expect(without).toEqual([]);
});
