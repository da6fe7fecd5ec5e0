/** Says in one sentence why a request failed, or what it waits for. */
import type { Bar } from './picture.js';

const CODES: Record<number, string> = {
  [-32_700]: 'the message was no JSON',
  [-32_600]: 'the request was not valid',
  [-32_601]: 'the server has no such method',
  [-32_602]: 'the parameters were not valid',
  [-32_603]: 'the server failed inside',
  [-32_000]: 'the connection was closed, or the server refused',
  [-32_001]: 'it took longer than the asking side would wait',
  [-32_002]: 'there is no such resource',
  [-32_042]: 'the client has to visit a URL first',
  [-1]: 'the user said no',
};

const REASONS: Record<string, string> = {
  server_unreachable: 'no connection to the server behind could be made, so it never began',
  server_lost: 'the connection to the server behind broke, so what became of it is unknown',
  server_refused: 'the server behind refused it',
  server_invalid: 'the server behind answered with something that is not MCP',
  server_oversized: 'the server behind sent more than a node takes',
};

/** Returns the sentence. `undefined`: it was answered, so there is nothing to explain. `now`: the end of the picture. */
export function explain(bar: Bar, now: number): string | undefined {
  const { outcome, kind, start } = bar;
  const took = lasted((bar.end ?? now) - start);
  switch (outcome) {
    case 'ok':
      return bar.reruns === 0
        ? undefined
        : `${nodeNamed(bar.ranBefore)} died while it ran this, and ${nodeNamed(bar.ranBy, 'node')} ran it again.`;
    case 'unknown':
      return 'It was answered, but the answer cannot be read here: it is encrypted, or was left out.';
    case 'pending':
      if (kind === 'question') {
        return bar.shownBy === null
          ? `The client had no connection, so the question waits in the log, for ${took} so far.`
          : `The client has not answered for ${took}.`;
      }
      if (bar.stranded === true) {
        return `${nodeNamed(bar.ranBy ?? bar.receivedBy)}, which ran it, is dead; the request ends, or runs again, as soon as another node notices.`;
      }
      return `It has been running for ${took}, on ${nodeNamed(bar.ranBy ?? bar.receivedBy, 'node')} as far as the log tells.`;
    case 'cancelled':
      return bar.cancelledAt === undefined
        ? `It ended without an answer after ${took}, with the session or because it was taken back.`
        : `The client took it back after ${lasted(bar.cancelledAt - start)}${through(bar.cancelledBy)}, so it got no answer.`;
    case 'lost':
      return lost(bar, took);
    case 'tool_error':
      return bar.code === -32_602
        ? `The server on ${nodeNamed(bar.ranBy, 'node')} refused the call after ${took}: it has no such tool, or the arguments do not fit.`
        : `The call of the tool failed after ${took}: the server on ${nodeNamed(bar.ranBy, 'node')} answered with a result that says so.`;
    case 'error':
      return failed(bar, took);
  }
}

function lost({ reason, ranBy, receivedBy, endedBy }: Bar, took: string): string {
  const node = nodeNamed(ranBy ?? receivedBy);
  if (reason === 'node_closed') {
    return `${node} was shut down ${took} after the start, before the handler had finished; how far it got is unknown.`;
  }
  if (reason === 'answer_lost')
    return `It was carried out, but a failover of Redis lost the answer.`;
  return `${node}, which ran it, died; ${nodeNamed(endedBy, 'node')} noticed and ended it after ${took}. How far the handler got is unknown.`;
}

function failed({ kind, code, reason, ranBy, answeredBy }: Bar, took: string): string {
  const known = reason === undefined ? undefined : REASONS[reason];
  if (known !== undefined) return `After ${took} it failed: ${known}.`;
  const number = code === undefined ? '' : ` ${String(code)}`;
  const meaning = code === undefined ? undefined : CODES[code];
  const who =
    kind === 'question'
      ? `The client answered${through(answeredBy)} with error`
      : `The handler on ${nodeNamed(ranBy, 'node')} answered with error`;
  return `${who}${number} after ${took}${meaning === undefined ? '' : `: ${meaning}`}.`;
}

function through(node: string | undefined): string {
  return node === undefined ? '' : ` through node ${node}`;
}

function nodeNamed(node: string | undefined, word: 'Node' | 'node' = 'Node'): string {
  if (node !== undefined) return `${word} ${node}`;
  return word === 'Node' ? 'A node' : 'a node';
}

/** Formats a time span for people: `12 ms`, `3.4 s`, `5 min`. */
export function lasted(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min`;
  if (ms < 172_800_000) return `${(ms / 3_600_000).toFixed(1)} h`;
  return `${Math.round(ms / 86_400_000)} d`;
}
