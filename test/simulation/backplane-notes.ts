/** The texts for steps and messages in the trace of a run. */
import type { CommitReply, NodeMessage } from '../../src/backplane/backplane.js';

export function statusOf(reply: CommitReply, at: number): string {
  if (reply.status === 'gone') return 'gone';
  const result = reply.results[at];
  if (result?.status === 'appended') {
    return `appended ${result.position.n}${result.ended ? ' end' : ''}`;
  }
  return result?.status ?? '?';
}

export function brief(message: NodeMessage): string {
  switch (message.type) {
    case 'event':
      return `event ${message.sessionId} ${message.stream} ${message.event.position.n}`;
    case 'release':
    case 'hangup':
    case 'orphaned':
    case 'held':
    case 'taken':
      return `${message.type} ${message.sessionId} ${message.stream} ${message.token}`;
    case 'released':
      return `released ${message.ref} ${message.position?.n ?? '-'}`;
    case 'check':
      return `check ${message.streams.map(({ sessionId, stream }) => `${sessionId} ${stream}`).join(' ')}`;
    default:
      return `${message.type} ${message.sessionId}`;
  }
}
