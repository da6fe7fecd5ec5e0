/** A node reads the messages of clients that it may have missed while its subscription was away. */
import { expect, it } from 'vitest';
import { unavailable } from '../../src/protocol/errors.js';
import { systemClock } from '../../src/protocol/timing/clock.js';
import { CatchUp } from '../../src/execution/recovery/catch-up.js';

type Parts = ConstructorParameters<typeof CatchUp>;

// The subscription may be back before Redis answers other commands. One failed read lost an answer that had been acknowledged.
it('reads the logs until that has succeeded', async () => {
  const answer = { jsonrpc: '2.0', id: 'q1', result: {} };
  const entry = { logId: '1-1', at: 1, direction: 'in', message: JSON.stringify(answer) };
  let reads = 0;
  const history = (_sessionId: string, after: string) => {
    reads += 1;
    if (reads < 3) return Promise.reject(unavailable(new Error('away')));
    return Promise.resolve(after === '1-1' ? [] : [entry]);
  };
  const node = {
    clock: systemClock,
    backplane: { timeOf: () => Promise.resolve(1_000_000), history },
  } as unknown as Parts[0];
  const heard: unknown[] = [];
  const sessions = {
    busy: () => [],
    verify: () => Promise.resolve(),
    deliver: (sessionId: string, message: unknown) => heard.push([sessionId, message]),
  };
  await new CatchUp(node, { sessions: () => ['s1'] }, sessions).catchUp();
  expect(heard).toEqual([['s1', answer]]);
  expect(reads).toBe(4);
});

it('reads the logs, and then verifies owned sessions, until that has succeeded', async () => {
  const node = { clock: systemClock } as unknown as Parts[0];
  let looks = 0;
  const verify = () => {
    looks += 1;
    return looks < 3 ? Promise.reject(unavailable(new Error('away'))) : Promise.resolve();
  };
  const sessions = { busy: () => [], verify, deliver: () => undefined };
  await new CatchUp(node, { sessions: () => [] }, sessions).catchUp();
  expect(looks).toBe(3);
});
