import { Router } from 'express';
import { expect, it } from 'vitest';
import { startIntercepted, WAYS } from '../integration/support/intercepted.js';
import { mapEndpoint } from '../integration/support/map-endpoint.js';
import { openSession } from '../integration/support/serve.js';
import { request } from '../support/mcp-http.js';
import { idsOf, recorder } from './support.js';

it.each(WAYS)('passes the context of a call on to a server behind (%s)', async (way) => {
  const record = recorder();
  const seen: unknown[] = [];
  const { handler } = mapEndpoint({ tools: { work: () => 'done' } });
  const recording = Router().use((req, _res, next) => {
    seen.push(req.headers.traceparent);
    next();
  }, handler);
  const { url } = await startIntercepted(way, recording, { telemetry: record.telemetry });
  const { client } = await openSession(url);
  const before = seen.length;
  // The header of the client is not what the server gets: the span of this node is in between.
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
  const call = request(7, 'tools/call', { name: 'work', arguments: {}, _meta: { traceparent } });
  await (await client.post(url, call, { headers: { traceparent } })).answer(7);
  const [span] = await record.named('tools/call work');
  const { traceId, spanId } = idsOf(span);
  expect(traceId).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
  expect(seen.slice(before)).toContain(`00-${traceId}-${spanId}-01`);
});

// Node refuses such a header, and the client got an error for its call.
it.each(WAYS)('passes no baggage on that cannot be a header (%s)', async (way) => {
  const record = recorder();
  const seen: unknown[] = [];
  const { handler } = mapEndpoint({ tools: { work: () => 'done' } });
  const recording = Router().use((req, _res, next) => {
    seen.push(req.headers.baggage);
    next();
  }, handler);
  const { url } = await startIntercepted(way, recording, { telemetry: record.telemetry });
  const { client } = await openSession(url);
  for (const [at, baggage] of ['a=b;k=1', 'a=b;k=\u2192', 'a=b;k\r\nx-user: root'].entries()) {
    const params = { name: 'work', arguments: {}, _meta: { baggage } };
    const answer = await (
      await client.post(url, request(at + 2, 'tools/call', params))
    ).answer(at + 2);
    expect(answer).toMatchObject({ result: { content: [{ text: 'done' }] } });
  }
  expect(seen.filter((each) => each !== undefined)).toEqual(['a=b;k=1']);
});
