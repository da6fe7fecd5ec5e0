/** Operations as arguments of commit.lua, whose header says the format. */
import type { AppendOperation, Operation, Route } from '../backplane.js';

type Argument = string | number;

export function operationArguments(operation: Operation): Argument[] {
  switch (operation.type) {
    case 'open': {
      const { principal, stream, token, revision, requests, messages, owned, most } = operation;
      const known = revision ?? '-';
      return [
        ...['open', principal, stream, token, known, owned === true ? '1' : '', most ?? ''],
        ...[requests.length, ...requests],
        ...[messages.length, ...messages],
      ];
    }
    case 'receive': {
      const { principal, revision, route, message } = operation;
      return ['receive', principal, revision ?? '-', route.to, argumentOf(route), message];
    }
    case 'append':
      return append(operation);
    case 'detach': {
      const { stream, token, position, neverUsed } = operation;
      const never = neverUsed === true ? '1' : '';
      return ['detach', stream, token, position.n, position.logId, never];
    }
    case 'hangup':
      return ['hangup', operation.stream];
    case 'claim': {
      const { stream, from, revision, owned } = operation;
      return ['claim', stream, from, revision ?? '-', owned === true ? '1' : ''];
    }
    case 'assign': {
      const { stream, dead, revision } = operation;
      return ['assign', stream ?? '', dead ?? '', revision ?? '-'];
    }
    case 'release':
      return ['release', operation.stream];
    case 'abandon':
      return ['abandon', operation.stream, operation.requests.length, ...operation.requests];
    case 'note': {
      const { kind, stream, request, from, ifAppended } = operation;
      return ['note', kind, stream, request, from ?? '', ifAppended === true ? '1' : ''];
    }
    case 'forget':
      return ['forget'];
  }
}

function append(operation: AppendOperation): Argument[] {
  const { stream, ends, asks, effect, onlyIf, coalesce, message } = operation;
  const conditions = Object.entries(onlyIf ?? {}) as [string, string | true][];
  const [[condition, value] = ['', '']] = conditions;
  return [
    ...['append', stream, ends ?? '', asks === true ? '1' : ''],
    ...[
      effect?.type ?? '',
      effect?.value ?? '',
      condition,
      value === true ? '' : value,
      coalesce ?? '',
    ],
    ...[message === undefined ? '' : '1', message ?? ''],
  ];
}

function argumentOf(route: Route): string {
  if (route.to === 'node') return route.nodeId;
  if (route.to === 'executor') return route.request;
  return route.to === 'initialized' && route.owned === true ? '1' : '';
}
