import type { Redis } from 'ioredis';

/** The list in Redis to which scripts add how much work they did. They do so while `COUNTING` exists. */
const WORK = 'counted-scripts:work';
const COUNTING = 'counted-scripts:counting';

/**
 * Returns the text of a script that can also count its work: one unit for each round of a loop, each command, each value in
 * a reply, each KiB of a reply, and each KiB of memory that Lua allocates (for texts that are put together, and for tables).
 * The same step always does the same work, however busy the machine is.
 *
 * Lua stores equal texts once. So the memory of earlier scripts is freed first. Otherwise texts that an earlier script had
 * would cost nothing.
 */
export function counted(lua: string): string {
  const body = lua
    .replace(/^ *(?:for|while)\b.*$/gm, (line) => line.replace(/\bdo\b/g, 'do work = work + 1'))
    .replace(/\brepeat\b/g, 'repeat work = work + 1');
  return `
local work, real = 0, redis
local function weigh(value)
  work = work + 1
  if type(value) == 'string' then work = work + #value / 1024 end
  if type(value) == 'table' then for _, each in pairs(value) do weigh(each) end end
  return value
end
local redis = setmetatable({
  call = function(...) return weigh(real.call(...)) end,
  pcall = function(...) return weigh(real.pcall(...)) end,
}, { __index = real })
local function run()
${body}
end
if real.call('EXISTS', '${COUNTING}') == 0 then return run() end
collectgarbage('collect')
collectgarbage('stop')
local before = collectgarbage('count')
local reply = run()
work = work + collectgarbage('count') - before
collectgarbage('restart')
real.call('RPUSH', '${WORK}', math.floor(work))
return reply
`;
}

/**
 * Runs a step and returns the work of its longest script. If the step runs no script, but only a command of Redis, that is
 * the length of the reply in KiB.
 */
export async function workOf(redis: Redis, step: () => Promise<unknown>): Promise<number> {
  await redis.set(COUNTING, '');
  const before = await bytesSent(redis);
  await step();
  const sent = (await bytesSent(redis)) - before;
  const work = await redis.lrange(WORK, 0, -1);
  await redis.del(COUNTING, WORK);
  return work.length > 0 ? Math.max(...work.map(Number)) : Math.round(sent / 1024);
}

async function bytesSent(redis: Redis): Promise<number> {
  const [, bytes] = /^total_net_output_bytes:(\d+)/m.exec(await redis.info('stats')) ?? [];
  return Number(bytes);
}
