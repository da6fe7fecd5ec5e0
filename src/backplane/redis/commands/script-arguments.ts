/** Turns sessions, operations and touches into arguments of scripts. The files create.lua, commit.lua and touch.lua define the formats. */
import type {
  AppendOperation,
  AttachRequest,
  Effect,
  JoinOptions,
  ListKind,
  NewSession,
  Operation,
  Route,
  TouchRequest,
} from '../../backplane.js';
import { RESUMED_EVERY_MS } from '../../backplane.js';
import { FIRST_REVISION } from '../../revision.js';
import { formatHolder } from '../streams-hash.js';
import { initializeFields, sealFields } from './parse-replies.js';
import type { Argument } from './script.js';

/** Returns the arguments of scripts/create.lua for a new session. `outbox` is the setting of its outbox, or `''`. */
export function createArguments(
  session: NewSession,
  { nodeId, pendingTtlMs, retention }: JoinOptions,
  outbox: string,
): Argument[] {
  const record = [
    ...['rev', FIRST_REVISION, 'pr', session.principal, 'hears', lettersOf(session.hears)],
    ...['pv', session.protocolVersion, 'v', 1],
    ...(session.owned === true ? ['own', nodeId] : []),
    ...initializeFields(session.initialize),
    ...(session.seal === undefined ? [] : sealFields(session.seal)),
  ];
  return [
    ...[nodeId, pendingTtlMs, retention.maxAgeMs],
    ...[session.stream, session.inbound ?? '', outbox, session.id, record.length, ...record],
    ...session.outbound.flatMap(({ stream, message, asks }) => [stream, asks ? '1' : '', message]),
  ];
}

/** Returns the first arguments of scripts/attach.lua. Two more follow: the outbox, and how far an earlier run has looked. */
export function attachArguments(
  { sessionId, principal, stream, token, cursor, unlessHeld, deadHolder, lookedAt }: AttachRequest,
  { nodeId, sessionTtlMs, pendingTtlMs, retention }: JoinOptions,
  channels: string,
): Argument[] {
  return [
    ...[nodeId, principal, stream, token, cursor?.n ?? '', cursor?.logId ?? ''],
    ...[unlessHeld ? '1' : '', deadHolder === undefined ? '' : formatHolder(deadHolder)],
    ...[channels, sessionId],
    ...[sessionTtlMs, pendingTtlMs, lookedAt ?? '', retention.maxAgeMs, RESUMED_EVERY_MS],
  ];
}

/** Returns the arguments of scripts/touch.lua. A stream that this node runs, and does not hold, has no token. */
export function touchArguments(
  { streams, runs = [] }: TouchRequest,
  { nodeId, sessionTtlMs, pendingTtlMs, retention }: JoinOptions,
): Argument[] {
  return [
    ...[nodeId, sessionTtlMs, pendingTtlMs, retention.maxAgeMs],
    ...streams.flatMap(({ stream, token, position: { n, logId } }) => [stream, token, n, logId]),
    ...runs.flatMap((stream) => [stream, '', 0, '']),
  ];
}

/** Appends the arguments of one operation. */
export function pushArguments(args: Argument[], operation: Operation): void {
  switch (operation.type) {
    case 'open': {
      const { principal, stream, token, revision, requests, messages, owned, most, trace } =
        operation;
      args.push(
        trace === undefined ? 'open' : 'traced',
        principal,
        stream,
        token,
        revision ?? '-',
        flag(owned),
        most ?? '',
      );
      args.push(requests.length, ...requests, messages.length, ...messages);
      if (trace !== undefined) args.push(trace);
      break;
    }
    case 'exchange': {
      const { principal, stream, request, revision, most, failed, message, answer, trace } =
        operation;
      args.push(trace === undefined ? 'exchange' : 'exchange-traced', principal, stream, request);
      args.push(revision, most ?? '', flag(failed), message, answer);
      if (trace !== undefined) args.push(trace);
      break;
    }
    case 'receive': {
      const { principal, revision, route, message } = operation;
      args.push('receive', principal, revision ?? '-', route.to, argumentOf(route), message);
      break;
    }
    case 'append':
      pushAppend(args, operation);
      break;
    case 'detach': {
      const { stream, token, position, neverUsed } = operation;
      args.push('detach', stream, token, position.n, position.logId, flag(neverUsed));
      break;
    }
    case 'hangup':
      args.push('hangup', operation.stream);
      break;
    case 'claim': {
      const { stream, from, lookedAt, revision, owned } = operation;
      args.push('claim', stream, from, lookedAt ?? '', revision ?? '-', flag(owned));
      break;
    }
    case 'assign': {
      const { stream, dead, lookedAt, revision } = operation;
      args.push('assign', stream ?? '', dead ?? '', lookedAt ?? '', revision ?? '-');
      break;
    }
    case 'release':
      args.push('release', operation.stream);
      break;
    case 'abandon':
      args.push('abandon', operation.stream, operation.requests.length, ...operation.requests);
      break;
    case 'note': {
      const { kind, stream, request, from, ifAppended } = operation;
      args.push('note', kind, stream, request, from ?? '', flag(ifAppended));
      break;
    }
    case 'forget':
      args.push('forget');
      break;
  }
}

function pushAppend(args: Argument[], operation: AppendOperation): void {
  const { stream, ends, effect, onlyIf, coalesce, message } = operation;
  let [condition, value] = ['', ''];
  if (onlyIf !== undefined) {
    const [[name, given] = ['', '']] = Object.entries(onlyIf) as [string, string | true][];
    condition = name;
    value = given === true ? '' : given;
    if ('hears' in onlyIf) value = lettersOf([onlyIf.hears]);
  }
  args.push('append', stream, ends ?? '', markOf(operation), ...effectArguments(effect));
  args.push(condition, value, coalesce ?? '', flag(message !== undefined), message ?? '');
}

/** Returns the mark of a request of the server (`1`), or of an error that ends a request (`f`). A message is one of them. */
function markOf({ asks, failed }: AppendOperation): '1' | 'f' | '' {
  if (asks === true) return '1';
  return failed === true ? 'f' : '';
}

/**
 * Returns the kind of an effect, its value, and a seal. The value of `initialize` has three lines, and the second one is the
 * params.
 */
function effectArguments(effect: Effect | undefined): [string, string, string] {
  switch (effect?.type) {
    case undefined:
      return ['', '', ''];
    case 'level':
      return [effect.type, effect.level, ''];
    case 'subscribe':
      return [effect.type, effect.uri, effect.seal ?? ''];
    case 'unsubscribe':
      return [effect.type, effect.uri, ''];
    case 'initialize': {
      const { type, hears, params, protocolVersion } = effect;
      return [type, [lettersOf(hears), params, protocolVersion].join('\n'), ''];
    }
  }
}

const LETTERS: Record<ListKind, string> = { tools: 'T', prompts: 'P', resources: 'R' };

/** Returns kinds of lists in the form of the record's field `hears`. */
function lettersOf(kinds: readonly ListKind[]): string {
  return kinds.map((kind) => LETTERS[kind]).join('');
}

function flag(value: boolean | undefined): string {
  return value === true ? '1' : '';
}

function argumentOf(route: Route): string {
  if (route.to === 'node') return route.nodeId;
  if (route.to === 'executor') return route.request;
  return route.to === 'initialized' && route.owned === true ? '1' : '';
}
