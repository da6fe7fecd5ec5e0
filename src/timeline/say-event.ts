import type { EventSummary } from './event-summary.js';

/** Says in a few words what an event is. */
export function sayEvent(event: EventSummary): string {
  const { type, kind, direction, method, name, requestId, code, toolError, unreadable } = event;
  const id = requestId === undefined ? '' : ` #${String(requestId)}`;
  if (unreadable === true) return 'a message that is encrypted';
  switch (type) {
    case 'message.received':
    case 'message.sent': {
      const what = [method, name].filter((part) => part !== undefined).join(' ');
      if (kind === 'request')
        return direction === 'in' ? `${what}${id}` : `asks the client: ${what}`;
      if (kind === 'notification') return what;
      const who = direction === 'in' ? 'the client answers' : 'answer';
      if (kind === 'error') return `${who}${id}: error ${String(code ?? '')}`;
      if (kind === 'result') return `${who}${id}${toolError === true ? ': the tool failed' : ''}`;
      return `a message that is not shown${id}`;
    }
    case 'stream.resumed':
      return 'the client came back to a stream';
    case 'request.cancelled':
      return `cancelled${id}`;
    case 'request.recovered':
      return `ran again, for a dead node${id}`;
    case 'request.failed':
      return `ended, for a dead node${id}`;
    case 'session.created':
      return 'session created';
    case 'session.initialized':
      return 'session initialized';
    case 'session.closed':
      return 'session ended';
    case 'log.trimmed':
      return 'older events are not kept any more';
  }
}
