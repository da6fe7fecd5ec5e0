import { describe, expect, it } from 'vitest';
import { summaryOf } from '../../src/timeline/event-summary.js';
import type { EventSummary } from '../../src/timeline/event-summary.js';
import { layout } from '../../src/timeline/layout.js';
import { mermaid } from '../../src/timeline/mermaid.js';
import { logRows } from '../../src/timeline/log-rows.js';
import { evenScale, linearScale, zoomToFit } from '../../src/timeline/scale.js';
import { timeline } from '../../src/timeline/timeline.js';
import type { SessionEvent } from '../../src/options/public-types.js';

const [A, B, C] = ['aaaaaaaaaa', 'bbbbbbbbbb', 'cccccccccc'];
const P1 = `${A}1`;

/** Makes the events of a session, 10 ms apart, as an observer reads them. */
function events(...list: Partial<SessionEvent>[]): EventSummary[] {
  return list.map((event, index) =>
    summaryOf(
      {
        ...{ id: `${1000 + index * 10}-0`, at: 1000 + index * 10, type: 'message.received' },
        ...{ direction: undefined, stream: undefined, message: undefined },
        ...event,
      },
      { messages: false },
    ),
  );
}

const call = (id: number, name: string, stream = P1): Partial<SessionEvent> => ({
  ...{ type: 'message.received', direction: 'in', stream, nodeId: stream.slice(0, 10) },
  ...{ method: 'tools/call', requestId: id },
  message: { jsonrpc: '2.0', id, method: 'tools/call', params: { name, arguments: { secret: 1 } } },
});

const sent = (
  message: object,
  more: Partial<SessionEvent> & Pick<SessionEvent, 'stream'>,
): Partial<SessionEvent> => ({
  ...{ type: 'message.sent', direction: 'out', message: { jsonrpc: '2.0', ...message } as never },
  ...('id' in message && { requestId: message.id as number }),
  ...('method' in message && { method: message.method as string }),
  ...more,
});

const answer = (id: number, more: Partial<SessionEvent> = {}, result: object = {}) =>
  sent({ id, result }, { stream: P1, nodeId: A, shownBy: A, ...more });

describe('a timeline', () => {
  it('has a bar for each request, with its nodes and its outcome', () => {
    const { bars, nodes } = timeline(
      events(
        call(1, 'add'),
        answer(1),
        call(2, 'fail'),
        answer(2, {}, { isError: true }),
        call(3, 'bad'),
        sent({ id: 3, error: { code: -32602, message: 'm' } }, { stream: P1, nodeId: A }),
        call(4, 'runs'),
      ),
      { now: 5000 },
    );
    expect(nodes).toEqual([A]);
    expect(bars).toMatchObject([
      { label: 'add', outcome: 'ok', start: 1000, end: 1010, receivedBy: A, ranBy: A, shownBy: A },
      { label: 'fail', outcome: 'tool_error' },
      { label: 'bad', outcome: 'error', code: -32602 },
      { label: 'runs', outcome: 'pending' },
    ]);
    expect(bars[0]?.why).toBeUndefined();
    expect(bars[1]?.why).toBe(
      `The call of the tool failed after 10 ms: the server on node ${A} answered with a result that says so.`,
    );
    expect(bars[2]?.why).toContain('error -32602 after 10 ms: the parameters were not valid');
    expect(bars[3]?.why).toContain('It has been running for 3.9 s');
    expect(bars[3]?.end).toBeUndefined();
  });

  it('nests a question under its call, and knows where it was asked, shown and answered', () => {
    const ask = { id: `${A}.1`, method: 'elicitation/create' };
    const { bars } = timeline(
      events(
        call(1, 'book'),
        sent(ask, { stream: P1, nodeId: A, shownBy: B }),
        {
          ...{ type: 'message.received', direction: 'in', nodeId: C, requestId: ask.id },
          message: { jsonrpc: '2.0', id: ask.id, result: {} },
        },
        answer(1, { shownBy: B }),
      ),
    );
    const [booked, question] = bars;
    expect(question).toMatchObject({
      ...{ kind: 'question', parent: booked?.key, receivedBy: A, shownBy: B, answeredBy: C },
      ...{ outcome: 'ok', start: 1010, end: 1020 },
    });
    const placed = layout(timeline(events(call(1, 'book'), sent(ask, { stream: P1, nodeId: A }))));
    expect(placed.bars.filter(({ form }) => form === 'inner')).toHaveLength(1);
  });

  it('shows the connection cut and resumed on another node, and what waited meanwhile', () => {
    const note = { method: 'notifications/message' };
    const { stretches, marks } = timeline(
      events(
        call(1, 'count'),
        sent(note, { stream: P1, nodeId: A, shownBy: A }),
        sent(note, { stream: P1, nodeId: A, shownBy: null }),
        sent(note, { stream: P1, nodeId: A, shownBy: null }),
        { type: 'stream.resumed', stream: P1, nodeId: B },
        answer(1, { shownBy: B }),
      ),
    );
    expect(stretches).toEqual([
      { stream: P1, node: A, from: 1000, to: 1010 },
      { stream: P1, node: B, from: 1040, to: 1050 },
    ]);
    const shown = marks.filter(({ kind }) => kind !== 'message');
    expect(shown).toMatchObject([
      { kind: 'cut', node: A, at: 1010 },
      { kind: 'resumed', node: B, at: 1040, waited: 2 },
    ]);
  });

  it('is a log with rows for connections that were made and cut', () => {
    const note = { method: 'notifications/message' };
    const list = events(
      sent(note, { stream: 'g', nodeId: A, shownBy: B }),
      call(1, 'count'),
      sent(note, { stream: P1, nodeId: A, shownBy: null }),
      sent(note, { stream: 'g', nodeId: A, shownBy: null }),
      { type: 'stream.resumed', stream: 'g', nodeId: C },
      answer(1, { shownBy: B }),
      { type: 'session.closed' },
    );
    const rows = logRows(list, timeline(list));
    expect(new Set(rows.map(({ key }) => key)).size).toBe(rows.length);
    expect(rows.map(({ at, node = '', text }) => `${at} ${node.slice(0, 1)} ${text}`)).toEqual([
      '1000 b connection open: GET stream',
      '1000 a notifications/message',
      '1000 b connection gone: GET stream',
      '1010 a tools/call count #1',
      '1010 a connection gone: stream of the call',
      '1020 a notifications/message',
      '1030 a notifications/message',
      '1040 c the client came back to a stream',
      '1050 b connection found here: stream of the call',
      '1050 a answer #1',
      '1060  session ended',
      '1060 c connection gone: GET stream',
    ]);
  });

  it('is laid out so that bars leave room for the names beside others', () => {
    const list = events(call(1, 'a'), answer(1), call(2, 'b'), answer(2), call(3, 'c'), answer(3));
    const rowsWith = (reach: number): number[] => {
      const { bars } = layout(timeline(list), ({ end = 0 }) => end + reach);
      return bars.filter(({ form }) => form === 'main').map(({ row }) => row);
    };
    expect(rowsWith(0)).toEqual([0, 0, 0]);
    expect(rowsWith(15)).toEqual([0, 1, 0]);
    expect(rowsWith(1000)).toEqual([0, 1, 2]);
  });

  it('tells a dead node, who ended its request, and who ran another one again', () => {
    const failed = {
      id: 1,
      error: { code: -32000, message: 'gone', data: { reason: 'node_lost', node: A } },
    };
    const { bars, marks } = timeline(
      events(
        call(1, 'slow'),
        call(2, 'again', `${A}2`),
        sent(failed, { stream: P1, nodeId: B, shownBy: B }),
        { type: 'request.failed', stream: P1, nodeId: B, requestId: 1, from: A },
        { type: 'request.recovered', stream: `${A}2`, nodeId: C, requestId: 2, from: A },
        answer(2, { stream: `${A}2`, nodeId: C, shownBy: C }),
      ),
    );
    expect(bars).toMatchObject([
      { outcome: 'lost', ranBy: A, endedBy: B },
      { outcome: 'ok', reruns: 1, ranBefore: A, ranBy: C },
    ]);
    expect(bars[0]?.why).toBe(
      `Node ${A}, which ran it, died; node ${B} noticed and ended it after 20 ms. How far the handler got is unknown.`,
    );
    expect(bars[1]?.why).toBe(`Node ${A} died while it ran this, and node ${C} ran it again.`);
    expect(marks.filter(({ kind }) => kind === 'died')).toMatchObject([{ node: A }]);
  });

  // A call of a dead node looked as if it ran, until another node ended it.
  it('tells that the node of a running call is dead, before the log says so', () => {
    const list = events(call(1, 'slow'), call(2, 'hop', `${A}2`), call(3, 'fine', `${A}3`));
    const running = [
      { id: 1, stream: P1, executor: B },
      { id: 2, stream: `${A}2`, executor: A },
      { id: 3, stream: 'another', executor: B },
    ];
    const { bars, dead, stretches } = timeline(list, { now: 2000, deadNodes: [B], running });
    expect(dead).toEqual([B]);
    expect(bars.map(({ stranded }) => stranded)).toEqual([true, undefined, undefined]);
    expect(bars[0]?.why).toBe(
      `Node ${B}, which ran it, is dead; the request ends, or runs again, as soon as another node notices.`,
    );
    expect(stretches.map(({ to }) => to)).toEqual([undefined, undefined, undefined]);
    const [first] = timeline(list, { deadNodes: [A] }).stretches;
    expect(first?.to).toBe(1000);
  });

  it('does not say that a tool ran which the server does not have', () => {
    const text = 'MCP error -32602: Tool nosuch not found';
    const content = [{ type: 'text', text }];
    const { bars } = timeline(events(call(1, 'nosuch'), answer(1, {}, { content, isError: true })));
    expect(bars[0]).toMatchObject({ outcome: 'tool_error', code: -32602 });
    expect(bars[0]?.why).toBe(
      `The server on node ${A} refused the call after 10 ms: it has no such tool, or the arguments do not fit.`,
    );
  });

  it('tells a cancelled call, a moved owner, and the end of the session', () => {
    const { bars, marks } = timeline(
      events(
        call(1, 'hop'),
        answer(1, { nodeId: B }),
        call(2, 'hop'),
        answer(2, { nodeId: C }),
        call(3, 'long'),
        {
          ...{ direction: 'in', nodeId: B, method: 'notifications/cancelled', requestId: 3 },
          message: { jsonrpc: '2.0', method: 'notifications/cancelled' },
        },
        { type: 'request.cancelled', direction: 'out', stream: P1, nodeId: A },
        call(4, 'open', `${A}4`),
        { type: 'session.closed' },
      ),
    );
    expect(bars.map(({ outcome }) => outcome)).toEqual(['ok', 'ok', 'cancelled', 'cancelled']);
    expect(bars[2]?.why).toBe(
      `The client took it back after 10 ms through node ${B}, so it got no answer.`,
    );
    expect(marks).toMatchObject([
      { kind: 'owner', node: C, from: B },
      { kind: 'cancelled', node: B },
      { kind: 'closed' },
    ]);
  });

  // An entry of an older release does not say which node it was.
  it('is drawn from events without nodes, answers without requests, and messages of any shape', () => {
    const shapes: unknown[] = [
      null,
      1,
      [],
      { method: 1 },
      { result: 1 },
      { error: 'x' },
      { id: {} },
    ];
    const odd = shapes.map((message) => ({ message: message as never, direction: 'in' as const }));
    const line = timeline(
      events(
        ...odd,
        ...odd.map((event) => ({
          ...event,
          type: 'message.sent' as const,
          direction: 'out' as const,
        })),
        answer(7, { nodeId: undefined, shownBy: undefined } as never),
        { type: 'request.failed', requestId: 9 },
        { type: 'request.cancelled', stream: 'x' },
        { type: 'stream.resumed' },
        { type: 'log.trimmed' },
      ),
    );
    expect(line.bars).toEqual([]);
    expect(mermaid([], 'empty')).toContain('sequenceDiagram');
  });

  it('of 10,000 events is computed and laid out within a blink', () => {
    const many = events(
      ...Array.from({ length: 5000 }, (_, n) => [
        call(n, 'x', `${A}${n}`),
        answer(n, { stream: `${A}${n}` }),
      ]).flat(),
    );
    const begun = performance.now();
    const { bars } = layout(timeline(many));
    expect(bars).toHaveLength(15_000);
    // It takes about 30 ms. A loop in a loop would take seconds.
    expect(performance.now() - begun).toBeLessThan(2000);
  });
});

describe('a summary', () => {
  it('has neither arguments nor results nor texts of errors, unless messages are asked for', () => {
    const message = {
      ...{ jsonrpc: '2.0' as const, id: 1 },
      error: { code: 1, message: 'secret', data: { reason: 'secret' } },
    };
    const [asked] = events(call(1, 'add'));
    expect(JSON.stringify(asked)).not.toContain('secret');
    const event: SessionEvent = {
      ...{ id: '1-0', at: 1, type: 'message.sent', direction: 'out', stream: 'g', message },
    };
    expect(JSON.stringify(summaryOf(event, { messages: false }))).not.toContain('secret');
    expect(summaryOf(event, { messages: true }).message).toEqual(message);
  });

  it('cuts long names, and reads the trace of a request', () => {
    const [long] = events(call(1, 'x'.repeat(5000)));
    expect(long?.name).toHaveLength(201);
    const trace = '0af7651916cd43dd8448eb211c80319c';
    const _meta = { traceparent: `00-${trace}-b7ad6b7169203331-01` };
    const [traced] = events({
      message: { jsonrpc: '2.0', id: 1, method: 'ping', params: { _meta } },
    });
    expect(traced?.traceId).toBe(trace);
    // With telemetry, it stands in the log. It is there for a request that cannot be read, too.
    const [logged] = events({ trace: `00-${trace}-b7ad6b7169203331-01`, unreadable: true });
    expect(logged?.traceId).toBe(trace);
    expect(timeline(events({ ...call(1, 'x'), trace: 'javascript:1' })).bars[0]?.traceId).toBe(
      undefined,
    );
  });
});

describe('an axis', () => {
  const moments = [0, 3, 4, 3_600_000];

  it('keeps the order, gives each moment a place of its own, and draws a pause short', () => {
    const scale = evenScale(moments, 1);
    const xs = moments.map((at) => scale.x(at));
    expect(xs).toEqual(xs.toSorted((a, b) => a - b));
    expect((xs[1] ?? 0) - (xs[0] ?? 0)).toBeGreaterThan(10);
    expect(scale.width).toBeLessThan(300);
    expect(scale.pauses).toEqual([{ from: 4, to: 3_600_000 }]);
    // The edges do not grow with the zoom. The sum of the page took them for a part of what grows, and cut the beginning.
    for (const width of [150, 800, 3000]) {
      expect(evenScale(moments, zoomToFit(moments, width)).width).toBeCloseTo(width, 3);
    }
    for (const at of [0, 2, 4, 1000, 3_600_000]) expect(scale.at(scale.x(at))).toBeCloseTo(at, 3);
  });

  it('to scale gives equal times equal lengths', () => {
    const scale = linearScale(moments, 1, 1000);
    const quarter = scale.x(900_000) - scale.x(0);
    expect(scale.x(3_600_000) - scale.x(2_700_000)).toBeCloseTo(quarter, 3);
  });
});

describe('a Mermaid diagram', () => {
  it('has the nodes, the arrows of each request, and no character that would end a line', () => {
    const text = mermaid(
      events(call(1, 'a;b#c\nend <img>'), answer(1, { nodeId: B, shownBy: A })),
      'session "x"; y',
    );
    const lines = text.trim().split('\n');
    expect(lines.slice(0, 6)).toEqual([
      'sequenceDiagram',
      '  title session #34;x#34;#59; y',
      '  participant C as client',
      `  participant N1 as node ${A}`,
      `  participant N2 as node ${B}`,
      '  participant H as handler',
    ]);
    expect(lines.slice(6).map((line) => line.trim().split(':')[0])).toEqual([
      ...['C->>N1', 'N1->>N2', 'N2->>H', 'H-->>N2', 'N2-->>N1', 'N1-->>C'],
    ]);
    expect(text).not.toMatch(/<|a;b/);
  });
});
