import type { Cluster, Redis } from 'ioredis';
import type { Operation } from '../../backplane.js';
import type { Argument, ScriptGate } from './script.js';
import { Script } from './script.js';
import { SCRIPT_TEXTS } from './script-texts.js';

interface Settings {
  /** How many keys the script takes. The header of its file lists them. */
  keys: number;
  /**
   * See {@link Script}. The record and the streams of a session exist as long as the session. Of a new session no key
   * exists.
   */
  declaredAgain?: number;
  /** See {@link Script}. For short scripts only, because the text is sent with each call. */
  inOrder?: true;
}

/** Each script in `../scripts`, by its path. */
const SCRIPTS = {
  create: { keys: 3, declaredAgain: 1 },
  enter: { keys: 1 },
  commit: { keys: 3, declaredAgain: 2 },
  'commit-open': { keys: 3, declaredAgain: 2 },
  'commit-append': { keys: 3, declaredAgain: 2 },
  'commit-exchange': { keys: 3, declaredAgain: 2 },
  'commit-receive': { keys: 3, declaredAgain: 2 },
  attach: { keys: 3, declaredAgain: 2 },
  read: { keys: 3, declaredAgain: 2 },
  history: { keys: 3, declaredAgain: 2 },
  touch: { keys: 3, declaredAgain: 2 },
  remove: { keys: 3, declaredAgain: 2 },
  state: { keys: 1 },
  send: { keys: 1, inOrder: true },
  time: { keys: 1 },
  'audit/archiver-lease': { keys: 1 },
  'audit/claim-outbox': { keys: 1 },
  'audit/read-outbox': { keys: 1 },
  'audit/begin-chains': { keys: 2 },
  'audit/acknowledge': { keys: 4 },
  'audit/end-expired': { keys: 4 },
  'audit/waiting': { keys: 2 },
  'sdk-stores/broadcast': { keys: 1 },
  'sdk-stores/heard': { keys: 1 },
  'sdk-stores/replay-append': { keys: 3 },
  'sdk-stores/replay-read': { keys: 2 },
  'sdk-stores/task-create': { keys: 1 },
  'sdk-stores/task-enter': { keys: 1 },
  'sdk-stores/task-change': { keys: 2, declaredAgain: 1 },
  'sdk-stores/task-push': { keys: 2 },
  'sdk-stores/task-pop': { keys: 2, declaredAgain: 1 },
} as const satisfies Record<string, Settings>;

export type ScriptName = keyof typeof SCRIPTS;
type ScriptCommand = `anynode:${ScriptName}`;

/** A client with the scripts as commands (see {@link Script}). */
export type Scripted<Client> = Client &
  Record<`anynode:${ScriptName}`, (...args: Argument[] | [Argument[]]) => Promise<unknown>>;

export function defineScripts<Client extends Redis | Cluster>(
  client: Client,
  gate?: ScriptGate,
): Scripted<Client> {
  const commands = Object.entries<Settings>(SCRIPTS).map(
    ([name, { keys, declaredAgain, inOrder }]) => {
      const lua = SCRIPT_TEXTS[name];
      if (lua === undefined) throw new Error(`There is no script ${name}.lua`);
      const script = new Script(lua, keys, declaredAgain, inOrder);
      const call = (...args: Argument[] | [Argument[]]): Promise<unknown> => {
        const [first] = args;
        return script.run(client, Array.isArray(first) ? first : (args as Argument[]), gate);
      };
      return [`anynode:${name}`, call];
    },
  );
  return Object.assign(client, Object.fromEntries(commands)) as Scripted<Client>;
}

/** The operations that have a script of their own. */
const OF_ONE_KIND: ReadonlySet<Operation['type']> = new Set([
  ...(['open', 'exchange', 'append', 'receive'] as const),
]);

/**
 * Returns the script for a commit of these operations. Most commits have operations of one kind. The commits of a call have a
 * script of their own each.
 */
export function commitScript(operations: readonly Operation[]) {
  const [first] = operations;
  if (first === undefined || !OF_ONE_KIND.has(first.type)) return 'anynode:commit';
  const { type } = first;
  const isOne = operations.every((operation) => operation.type === type);
  return isOne ? (`anynode:commit-${type}` as ScriptCommand) : 'anynode:commit';
}
