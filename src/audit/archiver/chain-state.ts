/**
 * The state of a chain between two batches of records, as it is stored in the backplane. Every archiver that takes over goes
 * on from it, and makes the same records from the same entries.
 */
import { createHash, createHmac, randomBytes } from 'node:crypto';
import type { LogId } from '../../backplane/backplane.js';
import type { RequestId } from '../../protocol/json/jsonrpc.js';
import { isObject } from '../../protocol/json/jsonrpc.js';
import { parseStored } from '../../protocol/json/parse-stored.js';

/** A request of the client or of the server that has not ended. */
export interface OpenCall {
  method: string;
  tool?: string;
  /** When it was logged. */
  at: number;
  /** The node that received the client's request, or that sent the server's. */
  node?: string;
  stream?: string;
  /** The client has sent a cancellation of it. */
  cancelled?: true;
  /** It has ended with the error of a lost node. The note that says so is still to come. */
  ended?: true;
}

export interface ChainState {
  /** The salts of the chain's messages follow from it. */
  secret: string;
  /** The log id of the chain's first entry. */
  chain: LogId;
  /** The number and the hash of the last record. 0 and an empty text: no record was made yet. */
  seq: number;
  last: string;
  principal?: string;
  client?: string;
  protocol?: string;
  /** The params of a large `initialize`, until the record of that request is made. */
  initialize?: string;
  /** The requests that have not ended, the oldest first. */
  open: Map<string, OpenCall>;
  /** The characters of `open`. */
  openSize: number;
}

/** How many requests of a session are remembered, and how many characters they may have. The oldest are forgotten first. */
const MOST_OPEN = 1_000;
const MOST_OPEN_CHARACTERS = 128 * 1024;
/** Longer params of `initialize` are not kept until the record of the request is made. */
const MOST_INITIALIZE = 256 * 1024;
/** A longer text is not parsed. */
const MOST_CHARACTERS = 2 * 1024 * 1024;
/** A field of a record has at most so many characters. A message may have more in the same place. */
const SHORT = 256;
const SECRET_BYTES = 16;

/** Returns a new state for a chain whose first entry is at `chain`. */
export function newChain(chain: LogId): ChainState {
  return beginning(chain, randomBytes(SECRET_BYTES).toString('base64url'));
}

/**
 * Returns a new state for a chain that takes the place of another state, so that it cannot be stored before its first record
 * is delivered. Its secret follows from the secret that is stored, or from the text that cannot be parsed. So a second
 * delivery has the same one.
 */
export function chainAfter(stored: string, chain: LogId): ChainState {
  const secret = createHmac('sha256', stored).update(chain).digest();
  return beginning(chain, secret.subarray(0, SECRET_BYTES).toString('base64url'));
}

function beginning(chain: LogId, secret: string): ChainState {
  return { secret, chain, seq: 0, last: '', open: new Map(), openSize: 0 };
}

/** True if the chain was stored because of the entry at `logId`, and has no record yet. */
export function isBegunFor(state: ChainState, logId: LogId): boolean {
  return state.seq === 0 && state.chain === logId;
}

/** Remembers a request. Another one with the same key is forgotten, and so are the oldest ones if there are too many. */
export function addOpen(state: ChainState, key: string, call: OpenCall): void {
  takeOpen(state, key);
  state.open.set(key, call);
  state.openSize += sizeOf(key, call);
  for (const oldest of state.open.keys()) {
    if (state.open.size <= MOST_OPEN && state.openSize <= MOST_OPEN_CHARACTERS) break;
    takeOpen(state, oldest);
  }
}

/** Returns a request, and forgets it. */
export function takeOpen(state: ChainState, key: string): OpenCall | undefined {
  const call = state.open.get(key);
  if (call === undefined) return undefined;
  state.open.delete(key);
  state.openSize -= sizeOf(key, call);
  return call;
}

function sizeOf(key: string, { method, tool = '', node = '', stream = '' }: OpenCall): number {
  return 64 + key.length + method.length + tool.length + node.length + stream.length;
}

/** Returns the key of a request: its direction, and its id or the hash of a long id. */
export function keyOf(direction: 'in' | 'out', id: RequestId): string {
  const text = JSON.stringify(id);
  if (text.length <= SHORT) return `${direction} ${text}`;
  return `${direction} #${createHash('sha256').update(text).digest('base64url')}`;
}

/** Returns the id of a request from its key, unless it is too long for a record. */
export function idOfKey(key: string): RequestId | undefined {
  const id = parseStored(key.slice(key.indexOf(' ') + 1));
  return typeof id === 'number' || typeof id === 'string' ? recordedId(id) : undefined;
}

/** Returns the id of a request as its record has it. A long id is left out. The message has it. */
export function recordedId(id: RequestId | undefined): RequestId | undefined {
  if (typeof id !== 'string') return id;
  return id.length <= SHORT ? storable(id) : undefined;
}

/** Shortens a text of a client or server for a field of a record. */
export function short(text: string): string {
  return storable(text.length <= SHORT ? text : text.slice(0, SHORT));
}

/** Replaces what a database cannot store in a text: the character 0, and halves of characters. */
export function storable(text: string): string {
  return UNSTORABLE.test(text) ? text.replace(ALL_UNSTORABLE, '\ufffd') : text;
}

const UNSTORABLE = /[\0\p{Surrogate}]/u;
const ALL_UNSTORABLE = new RegExp(UNSTORABLE, 'gu');

/** Keeps the params of a large `initialize` for the record of its request. */
export function keepInitialize(state: ChainState, params: string): void {
  if (params.length <= MOST_INITIALIZE) state.initialize = params;
}

const VERSION = 1;

export function formatChain(state: ChainState): string {
  const { open, openSize: _, ...fields } = state;
  return JSON.stringify({ v: VERSION, ...fields, open: [...open] });
}

/** Parses a stored state. Returns `undefined` if it is malformed, or of a version that this release does not know. */
export function parseChain(text: string): ChainState | undefined {
  const value = text.length <= MOST_CHARACTERS ? parseStored(text) : undefined;
  if (!isObject(value) || value.v !== VERSION) return undefined;
  const { secret, chain, seq, last, principal, client, protocol, initialize, open } = value;
  if (!isText(secret) || !isText(chain) || !isText(last) || !isCount(seq)) return undefined;
  if (!Array.isArray(open) || open.length > MOST_OPEN) return undefined;
  const state: ChainState = { ...beginning(chain, secret), seq, last };
  if (isText(principal)) state.principal = principal;
  if (isText(client)) state.client = client;
  if (isText(protocol)) state.protocol = protocol;
  if (isText(initialize)) keepInitialize(state, initialize);
  for (const each of open as unknown[]) {
    const [key, call] = Array.isArray(each) ? (each as unknown[]) : [];
    const parsed = parseCall(call);
    if (!isText(key) || parsed === undefined) return undefined;
    addOpen(state, key, parsed);
  }
  return state;
}

function parseCall(value: unknown): OpenCall | undefined {
  if (!isObject(value)) return undefined;
  const { method, tool, at, node, stream, cancelled, ended } = value;
  if (!isText(method) || !isCount(at)) return undefined;
  const call: OpenCall = { method, at };
  if (isText(tool)) call.tool = tool;
  if (isText(node)) call.node = node;
  if (isText(stream)) call.stream = stream;
  if (cancelled === true) call.cancelled = true;
  if (ended === true) call.ended = true;
  return call;
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
