/**
 * Sends the same bytes to the SDK's own transport on one node, and to ours. Clients were written for the former, so any
 * difference may break one of them. The intended differences are in `wire-differences.test.ts`.
 */
import { describe, expect, it } from 'vitest';
import { notification, request } from '../support/mcp-http.js';
import type { Mount } from './support/serve.js';
import type { Step } from './support/side-by-side.js';
import { INITIALIZE, MODES, PARAMS, same, SESSION, sideBySide } from './support/side-by-side.js';

const PING = request(7, 'ping');
const steps: [number, string, Step][] = [
  // These cases are about headers.
  [406, 'POST without Accept', { body: PING, headers: { accept: undefined } }],
  [406, 'POST that accepts JSON only', { body: PING, headers: { accept: 'application/json' } }],
  [406, 'POST that accepts SSE only', { body: PING, headers: { accept: 'text/event-stream' } }],
  [406, 'POST that accepts anything', { body: PING, headers: { accept: '*/*' } }],
  [
    406,
    'POST with types in capitals',
    { body: PING, headers: { accept: 'Application/JSON, Text/Event-Stream' } },
  ],
  [
    200,
    'POST with Accept in two lines',
    { body: PING, headers: { accept: ['application/json;q=0.9', 'text/event-stream'] } },
  ],
  [406, 'GET that accepts JSON only', { method: 'GET', headers: { accept: 'application/json' } }],
  [406, 'GET without Accept', { method: 'GET', headers: { accept: undefined } }],
  [415, 'no content type', { body: PING, headers: { 'content-type': undefined } }],
  ...(
    [
      [200, 'application/json; charset=utf-8'],
      [200, 'application/json;'],
      [200, 'application/json; charset='],
      [200, 'application/json ; charset="utf-8, or so"'],
      [200, ' APPLICATION/JSON'],
      [200, 'Application/Json;Charset=UTF-8'],
      [415, 'text/plain; a=application/json'],
      [415, 'application/json-patch+json'],
      [415, 'application/jsonp'],
      [415, 'application'],
      [415, ';'],
      [415, 'application/json, text/plain'],
      [415, 'application/json, application/json'],
      [415, 'application/json; charset=utf-8, application/json'],
      [415, 'application/json; a="b", c'],
      [415, 'application/json; a="b", c="d"'],
      [415, 'multipart/form-data; boundary=application/json'],
    ] as const
  ).map(([status, type]): [number, string, Step] => [
    status,
    `content type ${type}`,
    { body: PING, headers: { 'content-type': type } },
  ]),
  [
    415,
    'content type in two lines',
    { body: PING, headers: { 'content-type': ['application/json', 'application/json'] } },
  ],
  ...['POST', 'GET', 'DELETE'].flatMap((method): [number, string, Step][] => {
    const step = { method, ...(method === 'POST' && { body: PING }) };
    return [
      [
        400,
        `${method} without a session id`,
        { ...step, headers: { 'mcp-session-id': undefined } },
      ],
      [400, `${method} with an empty session id`, { ...step, headers: { 'mcp-session-id': '' } }],
      [
        404,
        `${method} with an unknown session id`,
        { ...step, headers: { 'mcp-session-id': 'x' } },
      ],
      [
        404,
        `${method} with two session ids`,
        { ...step, headers: { 'mcp-session-id': [SESSION, SESSION] } },
      ],
      [
        400,
        `${method} with another version`,
        { ...step, headers: { 'mcp-protocol-version': '1' } },
      ],
      [
        400,
        `${method} with an empty version`,
        { ...step, headers: { 'mcp-protocol-version': '' } },
      ],
      [
        400,
        `${method} with two versions`,
        { ...step, headers: { 'mcp-protocol-version': ['2025-06-18', '2025-06-18'] } },
      ],
    ];
  }),
  [200, 'no version', { body: PING, headers: { 'mcp-protocol-version': undefined } }],
  [200, 'an older version', { body: PING, headers: { 'mcp-protocol-version': '2025-06-18' } }],
  [200, 'the oldest version', { body: PING, headers: { 'mcp-protocol-version': '2024-10-07' } }],
  [
    400,
    'without a session id, after which the version is not looked at',
    { body: PING, headers: { 'mcp-session-id': undefined, 'mcp-protocol-version': '1' } },
  ],
  [
    415,
    'wrong in every way',
    {
      body: '{',
      headers: { 'content-type': 'text/plain', 'mcp-session-id': 'x', 'mcp-protocol-version': '1' },
    },
  ],
  ...['PUT', 'PATCH', 'OPTIONS', 'HEAD'].map((method): [number, string, Step] => [
    405,
    method,
    { method },
  ]),
  [405, 'PUT with a body', { method: 'PUT', body: PING }],
];

const ways = MODES.map(([name, mode]) => [name, mode, {}] as [...(typeof MODES)[number], Mount]);
const [[, resumable]] = MODES as [(typeof MODES)[number]];
ways.push(['SSE, resumable, without Express', resumable, { express: 'none' }]);

describe.each(ways)('%s', (name, mode, mount) => {
  const start = () => sideBySide([name, mode], {}, mount, {});

  it.each(steps)('%i: %s', async (status, _, step) => {
    expect((await same(await start(), step)).status).toBe(status);
  });

  const opening: [number, string, Step][] = [
    [200, 'initialize', { body: INITIALIZE }],
    [200, 'initialize as a batch of one', { body: [INITIALIZE] }],
    [200, 'id 0', { body: request(0, 'initialize', PARAMS) }],
    ...['2025-06-18', '2025-03-26', '2024-11-05', '1999-01-01'].map(
      (protocolVersion): [number, string, Step] => [
        200,
        `version ${protocolVersion}`,
        { body: request(1, 'initialize', { ...PARAMS, protocolVersion }) },
      ],
    ),
    [200, 'a version header', { body: INITIALIZE, headers: { 'mcp-protocol-version': '1' } }],
    [400, 'initialize twice in a batch', { body: [INITIALIZE, INITIALIZE] }],
    [400, 'initialize and more', { body: [INITIALIZE, notification('notifications/initialized')] }],
    [400, 'half a body', { body: '{' }],
    [406, 'no Accept', { body: INITIALIZE, headers: { accept: undefined } }],
  ];
  it.each(opening)('opening a session, %i: %s', async (status, _, step) => {
    expect((await same(await start(), { opens: true, ...step })).status).toBe(status);
  });

  it('answers 404 for every method after DELETE', async () => {
    const both = await start();
    expect((await same(both, { method: 'DELETE' })).status).toBe(200);
    for (const step of [
      { method: 'DELETE' },
      { method: 'GET' },
      { body: PING },
      { body: INITIALIZE },
    ]) {
      expect((await same(both, step)).status).toBe(404);
    }
  });
});
