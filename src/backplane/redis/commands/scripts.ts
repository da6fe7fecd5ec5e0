import { readFileSync } from 'node:fs';
import type { Cluster, Redis } from 'ioredis';
import type { Operation } from '../../backplane.js';
import type { Argument, ScriptGate } from './script.js';
import { Script } from './script.js';

interface Parts {
  keys: number;
  /** See {@link Script}. A session's record and streams exist as long as it does; of a new one nothing exists. */
  declaredAgain?: number;
  files: readonly string[];
  /** See {@link Script}. For short ones: its text goes along with each call. */
  inOrder?: true;
}

/**
 * Of each script, how many keys it takes (the files say which), and the files in `scripts/` that it is made of. What it
 * defines costs time with each run, used or not, so none has what it does not need.
 */
const SCRIPTS = {
  create: {
    keys: 3,
    declaredAgain: 1,
    files: [
      'includes/lib',
      'includes/young-log',
      'includes/log-map',
      'includes/log-scan',
      'includes/clock',
      'create',
    ],
  },
  enter: { keys: 1, files: ['enter'] },
  commit: {
    keys: 3,
    declaredAgain: 2,
    files: commit('replicas', 'open', 'append', 'receive', 'connections', '../clock', 'execution'),
  },
  'commit/open': { keys: 3, declaredAgain: 2, files: commit('replicas', 'open') },
  'commit/append': { keys: 3, declaredAgain: 2, files: commit('append') },
  'commit/receive': { keys: 3, declaredAgain: 2, files: commit('replicas', 'receive') },
  attach: {
    keys: 3,
    declaredAgain: 2,
    files: [
      'includes/lib',
      'includes/young-log',
      'includes/log-map',
      'includes/log-scan',
      'includes/clock',
      'attach',
    ],
  },
  read: {
    keys: 3,
    declaredAgain: 2,
    files: ['includes/lib', 'includes/young-log', 'includes/log-map', 'includes/log-scan', 'read'],
  },
  history: {
    keys: 3,
    declaredAgain: 2,
    files: [
      'includes/lib',
      'includes/young-log',
      'includes/log-map',
      'includes/log-scan',
      'history',
    ],
  },
  touch: { keys: 3, declaredAgain: 2, files: ['includes/lib', 'touch'] },
  remove: { keys: 3, declaredAgain: 2, files: ['includes/lib', 'remove'] },
  state: { keys: 1, files: ['includes/clock', 'state'] },
  send: { keys: 1, files: ['send'], inOrder: true },
  time: { keys: 1, files: ['includes/clock', 'time'] },
  'sdk-stores/broadcast': {
    keys: 1,
    files: [
      'includes/lib',
      'includes/young-log',
      'includes/log-map',
      'includes/log-scan',
      'sdk-stores/broadcast',
    ],
  },
  'sdk-stores/heard': { keys: 1, files: ['includes/lib', 'sdk-stores/heard'] },
  'sdk-stores/replay-append': { keys: 3, files: replay('sdk-stores/replay-append') },
  'sdk-stores/replay-read': { keys: 2, files: replay('sdk-stores/replay-read') },
  'sdk-stores/task-create': { keys: 1, files: ['includes/lib', 'sdk-stores/task-create'] },
  'sdk-stores/task-enter': { keys: 1, files: ['includes/lib', 'sdk-stores/task-enter'] },
  'sdk-stores/task-change': {
    keys: 2,
    declaredAgain: 1,
    files: ['includes/lib', 'includes/clock', 'sdk-stores/task-change'],
  },
  'sdk-stores/task-push': { keys: 2, files: ['includes/lib', 'sdk-stores/task-push'] },
  'sdk-stores/task-pop': {
    keys: 2,
    declaredAgain: 1,
    files: ['includes/lib', 'sdk-stores/task-pop'],
  },
  'sdk-stores/task-wait': {
    keys: 2,
    declaredAgain: 1,
    files: ['includes/lib', 'sdk-stores/task-wait'],
  },
} as const satisfies Record<string, Parts>;

/** What Redis is given, by the names of the commands. */
export const SCRIPT_TEXTS = new Map(
  Object.entries(SCRIPTS).map(([name, { files }]) => [
    `anynode:${name}`,
    files.map(text).join('\n'),
  ]),
);

export type ScriptName = keyof typeof SCRIPTS;

/** A client with the scripts as commands (see {@link Script}). */
export type Scripted<Client> = Client &
  Record<`anynode:${ScriptName}`, (...args: Argument[] | [Argument[]]) => Promise<unknown>>;

export function defineScripts<Client extends Redis | Cluster>(
  client: Client,
  gate?: ScriptGate,
): Scripted<Client> {
  const commands = Object.entries<Parts>(SCRIPTS).map(
    ([name, { keys, declaredAgain, inOrder }]) => {
      const command = `anynode:${name}`;
      const script = new Script(SCRIPT_TEXTS.get(command) ?? '', keys, declaredAgain, inOrder);
      const call = (...args: Argument[] | [Argument[]]): Promise<unknown> => {
        const [first] = args;
        return script.run(client, Array.isArray(first) ? first : (args as Argument[]), gate);
      };
      return [command, call];
    },
  );
  return Object.assign(client, Object.fromEntries(commands)) as Scripted<Client>;
}

/** The script that a commit of these operations needs. Most are of one kind, and the two of a call have one of their own. */
export function commitScript(operations: readonly Operation[]) {
  const [first] = operations;
  const { type } = first ?? {};
  const isOne = operations.every((operation) => operation.type === type);
  if (!isOne || (type !== 'open' && type !== 'append' && type !== 'receive')) {
    return 'anynode:commit';
  }
  return `anynode:commit/${type}` as const;
}

/** `rooms`: those of the operations that it is for, in an order in which each finds what it needs. */
function commit(...rooms: string[]): string[] {
  return [
    'includes/lib',
    'includes/young-log',
    'includes/log-map',
    ...['step', ...rooms, 'trim', 'finish'].map((room) => `includes/commit/${room}`),
  ];
}

function replay(file: string): string[] {
  return [
    'includes/lib',
    'includes/young-log',
    'includes/log-map',
    'includes/log-scan',
    'includes/replay-map',
    file,
  ];
}

function text(file: string): string {
  return readFileSync(new URL(`../scripts/${file}.lua`, import.meta.url), 'utf8');
}
