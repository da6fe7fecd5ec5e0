import { readFileSync } from 'node:fs';
import type { Cluster, Redis } from 'ioredis';

/** How many keys each script takes; the files in `scripts/` say which. */
const KEYS = {
  create: 3,
  enter: 1,
  commit: 3,
  attach: 3,
  read: 3,
  touch: 3,
  remove: 3,
  state: 1,
  send: 1,
  'seams/broadcast': 1,
  'seams/heard': 1,
  'seams/replay-append': 3,
  'seams/replay-read': 2,
  'seams/task-create': 1,
  'seams/task-enter': 1,
  'seams/task-change': 2,
  'seams/task-push': 2,
  'seams/task-pop': 2,
  'seams/task-wait': 2,
} as const;

export type ScriptName = keyof typeof KEYS;
type Argument = string | number;

/** A client with the scripts as commands. They are sent by hash; one that Redis does not know is sent whole, once. */
export type Scripted<Client> = Client &
  Record<`anynode:${ScriptName}`, (...args: Argument[] | [Argument[]]) => Promise<unknown>>;

const library = text('lib');

export function defineScripts<Client extends Redis | Cluster>(client: Client): Scripted<Client> {
  for (const [name, numberOfKeys] of Object.entries(KEYS)) {
    client.defineCommand(`anynode:${name}`, { numberOfKeys, lua: `${library}\n${text(name)}` });
  }
  return client as Scripted<Client>;
}

function text(name: string): string {
  return readFileSync(new URL(`./scripts/${name}.lua`, import.meta.url), 'utf8');
}
