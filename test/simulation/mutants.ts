import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** A fault that somebody could make: a few lines of `src` changed. */
export interface Mutant {
  name: string;
  patches: { file: string; search: string; replace: string }[];
  /** Where it is looked for: rare ones are not looked for from the first seed on in every test run. */
  from: number;
  seeds: number;
}

/** Within so many. */
const SEEDS = 300;

function one(name: string, file: string, search: string, replace: string, from = 1): Mutant {
  return { name, patches: [{ file, search, replace }], from, seeds: SEEDS };
}

/** The simulator has to find each of them. */
export const MUTANTS: Mutant[] = [
  {
    name: 'attach after reading',
    from: 1,
    seeds: SEEDS,
    patches: [
      {
        file: 'http/get.ts',
        search: `    const attached = await attach(endpoint, request);`,
        replace: `    const after = request.cursor ?? { n: 0, logId: LOG_START };
    const { stream: name } = request;
    const early = await node.membership.read({ sessionId, stream: name, after, maxBytes: 1e6 });
    Object.assign(req, { early });
    const attached = await attach(endpoint, request);`,
      },
      {
        file: 'http/get.ts',
        search: `  follower.poke();`,
        replace: `  for (const event of (req as any).early?.events ?? []) follower.offer(event, true);`,
      },
    ],
  },
  one(
    'no gap check in the follower',
    'stream/follower.ts',
    `if (inline && event.position.n === this.written.n + 1) this.show(event);`,
    `if (inline) this.show(event);`,
  ),
  one(
    'shown before it is stored',
    'session/live.ts',
    `    const committed = await this.node.lanes.append(this.id, [...operations, ...notes], urgent);`,
    `    for (const operation of operations) {
      const early = this.node.followers.find(this.id, operation.stream);
      if (early === undefined || operation.message === undefined) continue;
      const { n, logId } = early.position;
      early.offer({ position: { n: n + 1, logId }, message: operation.message, end: false }, true);
    }
    const committed = await this.node.lanes.append(this.id, [...operations, ...notes], urgent);`,
  ),
  one(
    'repeats of a commit are carried out',
    'backplane/memory/session.ts',
    `const repeated = (this.numbers.get(nodeId) ?? 0) >= number;`,
    `const repeated = false;`,
  ),
  one(
    "a late detach clears its successor's claim",
    'backplane/memory/session.ts',
    `    if (!isMe(stream.holder)) return;`,
    ``,
  ),
  one(
    'no look at the log after the subscription was lost',
    'anynode.ts',
    `      for (const follower of followers.all()) follower.poke();`,
    ``,
  ),
  one(
    'cancellations stay on the node that they reach',
    'session/routing.ts',
    `      return {
        to: 'executor',
        request: JSON.stringify(message.params?.requestId ?? null),
      };`,
    `      return { to: 'here' };`,
  ),
  one(
    'a resumed stream begins one too late',
    'http/get.ts',
    `token: request.token, position, cursors };`,
    `token: request.token, position: { ...position, n: position.n + 1 }, cursors };`,
  ),
  one(
    'a node that lost its streams is still heard',
    'backplane/memory/session.ts',
    `if (operation.stream !== STANDALONE && !mine) return { status: 'dropped' };`,
    ``,
  ),
  one(
    'a replica that is behind is not told',
    'backplane/memory/session.ts',
    `if (known !== this.stored.revision) step.stale = true;`,
    `if (known === undefined) step.stale = true;`,
  ),
  one(
    'a repeated assignment begins a request again',
    'backplane/memory/executors.ts',
    `(repeated ? stream.assignedBy === step.number : open)`,
    `(repeated || open)`,
  ),
  one(
    'anybody may own a session',
    'backplane/memory/executors.ts',
    `if (repeated || (owner !== undefined && owner !== dead)) return owner ?? '';`,
    `if (repeated) return owner ?? '';`,
  ),
  one(
    'a request is handed to its owner once',
    'cluster/handovers.ts',
    `    for (const [key, handover] of waiting) {`,
    `    for (const [key, handover] of waiting.filter(([, { owner }]) => dead.has(owner))) {`,
  ),
  one(
    'what was missed is looked for once',
    'session/missed.ts',
    `if (error instanceof AnynodeError && error.code === 'closed') throw error;`,
    `if (error !== undefined) throw error;`,
    901,
  ),
  one(
    'an ended stream with nothing to show is shown',
    'http/get.ts',
    ` || (await isSilent(node, request, attached))`,
    ``,
    901,
  ),
  one(
    'answers stay on the node that they reach',
    'session/routing.ts',
    `  if (isResponse(message)) return toNode(nodeOf(message.id));`,
    `  if (isResponse(message)) return { to: 'here' };`,
  ),
  one(
    'GETs of strangers are served',
    'backplane/memory/session.ts',
    `    if (request.principal !== this.stored.principal) return { status: 'gone' };`,
    ``,
  ),
];

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** A copy of the project with the fault in it. Rejects where the text to be changed is not there exactly once. */
export async function plant({ name, patches }: Mutant): Promise<{
  directory: string;
  remove: () => Promise<void>;
}> {
  const directory = await mkdtemp(path.join(tmpdir(), 'mutant-'));
  await cp(path.join(ROOT, 'src'), path.join(directory, 'src'), { recursive: true });
  const simulation = path.join('test', 'simulation');
  await cp(path.join(ROOT, simulation), path.join(directory, simulation), { recursive: true });
  await cp(path.join(ROOT, 'package.json'), path.join(directory, 'package.json'));
  await symlink(path.join(ROOT, 'node_modules'), path.join(directory, 'node_modules'));
  for (const { file, search, replace } of patches) {
    const target = path.join(directory, 'src', file);
    const text = await readFile(target, 'utf8');
    if (text.split(search).length !== 2) {
      throw new Error(`The mutant "${name}" looks for this in ${file}, once:\n${search}`);
    }
    await writeFile(
      target,
      text.replace(search, () => replace),
    );
  }
  return { directory, remove: () => rm(directory, { recursive: true }) };
}
