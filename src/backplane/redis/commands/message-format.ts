/**
 * Formats and parses messages between nodes, as the scripts write them: a first line of words that begins with the format's
 * version, then the payload. `docs/wire.md` describes it. An unknown version or type is not an error, because a newer node
 * may have sent it.
 */
import type { NodeMessage, Position, StreamEvent, StreamName } from '../../backplane.js';
import { MOST_CHECKED } from '../../backplane.js';
import { isRevision } from '../../revision.js';

const VERSION = '1';
const NONE = '-';

export function formatMessage(message: NodeMessage): string {
  switch (message.type) {
    case 'event': {
      const { sessionId, stream, token, event, inline } = message;
      const { position, end, asker, before } = event;
      const has = event.message !== undefined;
      return line(
        [
          'event',
          sessionId,
          stream,
          token,
          position.n,
          position.logId,
          flag(end),
          asker ?? NONE,
          flag(inline),
          flag(has),
          before ?? '',
        ],
        inline ? event.message : '',
      );
    }
    case 'deliver': {
      const { sessionId, context, message: text } = message;
      if (context === undefined) return line(['deliver', sessionId], text);
      return line(['deliver', sessionId, context.length], `${context}${text}`);
    }
    case 'logged':
      return line(['logged', message.sessionId, message.logId], message.context);
    case 'run': {
      const { sessionId, stream, replyTo, context, messages = [] } = message;
      const texts = [context, ...messages];
      const lengths = texts.map(({ length }) => length);
      return line(['run', sessionId, stream, replyTo, ...lengths], texts.join(''));
    }
    case 'placed': {
      const { sessionId, stream, executor, begun } = message;
      return line(['placed', sessionId, stream, executor ?? NONE, flag(begun)]);
    }
    case 'disowned':
      return line(['disowned', message.sessionId]);
    case 'shape':
      return line(['shape', message.sessionId, message.revision], message.message);
    case 'gone':
      return line(['gone', message.sessionId]);
    case 'release': {
      const { sessionId, stream, token, replyTo, ref } = message;
      return line(['release', sessionId, stream, token, replyTo, ref]);
    }
    case 'released': {
      const { ref, position } = message;
      return line(['released', ref, position?.n ?? NONE, position?.logId ?? NONE]);
    }
    case 'taken':
      return line(['taken', message.sessionId, message.stream, message.token]);
    case 'held':
      return line(['held', message.sessionId, message.stream, message.token]);
    case 'hangup':
      return line(['hangup', message.sessionId, message.stream, message.token]);
    case 'check':
      return line([
        'check',
        ...message.streams.flatMap(({ sessionId, stream }) => [sessionId, stream]),
      ]);
    case 'orphaned':
      return line(['orphaned', message.sessionId, message.stream, message.token]);
    case 'followed':
      return line(['followed', message.sessionId, message.by ?? NONE]);
  }
}

/** Parses a message. `undefined`: it has another version, or no node would have sent it. */
export function parseMessage(text: string): NodeMessage | undefined {
  const message = parse(text);
  return message !== undefined && isSound(message) ? message : undefined;
}

/** Names of sessions, streams, connections and nodes: words of visible ASCII. */
const WORD = /^[!-~]{1,256}$/;
const LOG_ID = /^\d{1,16}-\d{1,20}$/;

function isSound(message: NodeMessage): boolean {
  for (const [name, value] of Object.entries<unknown>(message)) {
    switch (name) {
      case 'logId':
        if (!isLogId(value)) return false;
        break;
      case 'revision':
        if (!isRevision(value)) return false;
        break;
      case 'position':
        if (value !== undefined && !isPosition(value)) return false;
        break;
      case 'event': {
        const { position, asker, before } = value as StreamEvent;
        if (!isPosition(position) || (asker !== undefined && !isWord(asker))) return false;
        if (before !== undefined && !isLogId(before)) return false;
        break;
      }
      case 'streams': {
        const streams = value as StreamName[];
        if (streams.length === 0) return false;
        if (!streams.every((each) => isWord(each.sessionId) && isWord(each.stream))) return false;
        break;
      }
      case 'type':
      case 'inline':
      case 'begun':
      case 'message':
      case 'messages':
      case 'context':
        break;
      default:
        if (value !== undefined && !isWord(value)) return false;
    }
  }
  return true;
}

const isWord = (value: unknown): boolean => typeof value === 'string' && WORD.test(value);
const isLogId = (value: unknown): boolean => typeof value === 'string' && LOG_ID.test(value);
const isWhole = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0;

function isPosition(value: unknown): boolean {
  const { n, logId } = value as Position;
  return isWhole(n) && isLogId(logId);
}

function parse(text: string): NodeMessage | undefined {
  const end = text.indexOf('\n');
  // Copy the line. V8 lets a part of a text refer to the whole text, so a session id that is kept for long would keep its
  // message.
  const line = Buffer.from(end < 0 ? text : text.slice(0, end)).toString();
  const words = line.split(' ');
  const payload = end < 0 ? '' : text.slice(end + 1);
  const [
    version,
    type,
    a = '',
    b = '',
    c = '',
    d = '',
    e = '',
    f = '',
    g = '',
    h = '',
    i = '',
    j = '',
  ] = words;
  if (version !== VERSION) return undefined;
  switch (type) {
    case 'event': {
      const inline = h === '1';
      return {
        type,
        sessionId: a,
        stream: b,
        token: c,
        inline,
        event: {
          position: { n: Number(d), logId: e },
          message: i === '1' && inline ? payload : undefined,
          end: f === '1',
          ...(g !== NONE && { asker: g }),
          // Nodes of 0.1 before this word do not send it.
          ...(j !== '' && { before: j }),
        },
      };
    }
    case 'deliver': {
      const length = Number(b); // the length of the context, if there is one
      if (!(length >= 0 && length <= payload.length)) return undefined;
      const context = length > 0 ? { context: payload.slice(0, length) } : {};
      return { type, sessionId: a, message: payload.slice(length), ...context };
    }
    case 'logged':
      return { type, sessionId: a, logId: b, ...(payload !== '' && { context: payload }) };
    case 'run': {
      let from = 0;
      const lengths = words.slice(5).map(Number);
      if (!lengths.every((length) => length >= 0)) return undefined;
      const [context = '', ...messages] = lengths.map((length) => {
        from += length;
        return payload.slice(from - length, from);
      });
      const inline = messages.length > 0 ? messages : undefined;
      return { type, sessionId: a, stream: b, replyTo: c, context, messages: inline };
    }
    case 'placed':
      return {
        ...{ type, sessionId: a, stream: b, begun: d === '1' },
        executor: c === NONE ? undefined : c,
      };
    case 'disowned':
      return { type, sessionId: a };
    case 'shape':
      return {
        type,
        sessionId: a,
        revision: b,
        message: payload === '' ? undefined : payload,
      };
    case 'gone':
      return { type, sessionId: a };
    case 'release':
      return { type, sessionId: a, stream: b, token: c, replyTo: d, ref: e };
    case 'released':
      return { type, ref: a, position: b === NONE ? undefined : { n: Number(b), logId: c } };
    case 'check': {
      if (words.length > 2 + 2 * MOST_CHECKED) return undefined;
      const streams: StreamName[] = [];
      for (let at = 2; at + 1 < words.length; at += 2) {
        streams.push({ sessionId: words[at] ?? '', stream: words[at + 1] ?? '' });
      }
      return { type, streams };
    }
    case 'hangup':
    case 'held':
    case 'orphaned':
    case 'taken':
      return { type, sessionId: a, stream: b, token: c };
    case 'followed':
      return { type, sessionId: a, by: b === NONE ? undefined : b };
    default:
      return undefined;
  }
}

function line(words: (string | number)[], payload = ''): string {
  return `${VERSION} ${words.join(' ')}\n${payload}`;
}

function flag(value: boolean): string {
  return value ? '1' : '0';
}
