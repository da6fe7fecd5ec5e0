/**
 * Bodies with which a client can make a node stand still, each as long as `maxBodyBytes` allows. `bench/loop-stalls.ts`
 * measures for how long. `test/integration/hostile-bodies.test.ts` checks the response to each.
 */

/** The default of `maxBodyBytes`. */
const BYTES = 4 * 1024 * 1024;

export interface Hostile {
  kind: string;
  /** How the body is sent: without a session, in a session, or as the answer to a request of the server. */
  as: 'handshake' | 'call' | 'elicited' | 'sampled';
  body: () => string | Buffer;
  /** The status of the response. With 200 and 202 the body is accepted, with others it is refused. */
  status: number;
}

/** Returns `before` and `after` with as many units between them as fit. */
function filled(before: string, unit: (at: number) => string, after: string, most = BYTES): string {
  const parts: string[] = [];
  let bytes = before.length + after.length;
  for (let at = 0; ; at += 1) {
    const part = unit(at);
    bytes += part.length + 1;
    if (bytes > most || (at > 0 && part === '')) break;
    parts.push(part);
  }
  return `${before}${parts.join(',')}${after}`;
}

const repeated = (before: string, text: string, after: string, most = BYTES): string =>
  `${before}${text.repeat(Math.floor((most - before.length - after.length) / text.length))}${after}`;

/** Returns `before` and `after` with `count` units between them, to have as many values as `messageValues` allows. */
const counted = (
  before: string,
  count: number,
  unit: (at: number) => string,
  after: string,
): string => `${before}${Array.from({ length: count }, (_, at) => unit(at)).join(',')}${after}`;

const INIT =
  '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18",';
const CLIENT = '"clientInfo":{"name":"c","version":"1"';
const ICONS = `${INIT}"capabilities":{},${CLIENT},"icons":[`;
const EXPERIMENTAL = `${INIT}${CLIENT}},"capabilities":{"experimental":{`;
const CALL = '{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"echo","arguments":{';
const PING = '{"jsonrpc":"2.0","id":7,"method":"ping"';
const key = (at: number): string => `"${at.toString(36)}":`;

export const HOSTILE: Hostile[] = [
  ...(
    [
      ['`initialize`, 2,000,000 wrong icons', 413, () => filled(ICONS, () => '0', ']}}}')],
      [
        '`initialize`, 450,000 experimental capabilities',
        413,
        () => filled(EXPERIMENTAL, (at) => `${key(at)}{}`, '}}}}'),
      ],
      [
        '`initialize`, 490 wrong experimental capabilities in 64 KiB',
        400,
        () => counted(EXPERIMENTAL, 980, (at) => `${key(at)}0`, '}}}}'),
      ],
      ['no session, `[[[…`', 413, () => '['.repeat(BYTES)],
    ] as const
  ).map(([kind, status, body]): Hostile => ({ kind, as: 'handshake', body, status })),
  ...(
    [
      ['`[0,0,…]`', 400, () => filled('[', () => '0', ']')],
      ['`[[[…`', 400, () => '['.repeat(BYTES)],
      ['`{"a":{"a":…`', 400, () => repeated(`${PING},"params":`, '{"a":', '')],
      [
        'a message with 500,000 fields of its own',
        400,
        () => filled(`${PING},`, (at) => `${key(at)}0`, '}'),
      ],
      ['the same field 800,000 times', 400, () => filled('{', () => '"a":0', '}')],
      ['`tools/call`, 500,000 arguments', 400, () => filled(CALL, (at) => `${key(at)}0`, '}}}')],
      [
        '`tools/call`, as many arguments as are let through',
        200,
        () => counted(CALL, 4_980, (at) => `${key(at)}0`, '}}}'),
      ],
      [
        '`tools/call`, a list of 99,000 numbers in its arguments',
        200,
        () => counted(`${CALL}"a":[`, 99_000, () => '1e300', ']}}}'),
      ],
      [
        '`tools/call`, a number of 4,000,000 digits',
        200,
        () => repeated(`${CALL}"a":`, '7', '}}}'),
      ],
      ['`tools/call`, a text of escapes', 200, () => repeated(`${CALL}"a":"`, '\\u2028', '"}}}')],
      [
        '`tools/call`, a text that is not UTF-8',
        200,
        () => Buffer.from(repeated(`${CALL}"a":"`, '\u00ff', '"}}}'), 'latin1'),
      ],
      ['an id of 4 MB', 400, () => repeated('{"jsonrpc":"2.0","method":"ping","id":"', 'x', '"}')],
      ['a method of 4 MB', 200, () => repeated('{"jsonrpc":"2.0","id":7,"method":"', 'x', '"}')],
      [
        'progress, a token of 4 MB',
        202,
        () =>
          repeated(
            '{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1,"progressToken":"',
            '.',
            '"}}',
          ),
      ],
      [
        'a cancellation of an id of 4 MB',
        202,
        () =>
          repeated(
            '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"',
            'x',
            '"}}',
          ),
      ],
      [
        '`resources/subscribe`, a URI of 4 MB',
        200,
        () =>
          repeated(
            '{"jsonrpc":"2.0","id":7,"method":"resources/subscribe","params":{"uri":"',
            'x',
            '"}}',
          ),
      ],
      [
        '100 calls of 40 kB in a batch',
        200,
        () =>
          counted(
            '[',
            100,
            (at) => repeated(CALL.replace('7', `${100 + at}`) + '"a":"', 'x', '"}}}', 41_000),
            ']',
          ),
      ],
    ] as const
  ).map(([kind, status, body]): Hostile => ({ kind, as: 'call', body, status })),
  {
    kind: 'an elicitation answered with 4,980 wrong fields',
    as: 'elicited',
    status: 202,
    body: () =>
      counted(
        '{"jsonrpc":"2.0","id":ID,"result":{"action":"accept","content":{',
        4_980,
        (at) => `${key(at)}{}`,
        '}}}',
      ),
  },
  {
    kind: 'a sampling answered with 4,900 wrong contents of a tool result',
    as: 'sampled',
    status: 202,
    body: () =>
      counted(
        '{"jsonrpc":"2.0","id":ID,"result":{"model":"m","role":"user","content":{"type":"tool_result","toolUseId":"a","content":[',
        4_900,
        () => '0',
        ']}}}',
      ),
  },
];
