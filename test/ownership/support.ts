/** What tests of `affinity: 'owner'` need that run several nodes in one process. */
import { expect } from 'vitest';
import type { Backplane, JoinOptions, Operation } from '../../src/backplane/backplane.js';
import { LOG_START } from '../../src/backplane/backplane.js';
import { memoryBackplane } from '../../src/index.js';
import { systemClock } from '../../src/protocol/timing/clock.js';
import {
  openSession,
  startNode,
  type NodeOptions,
  type TestNode,
} from '../integration/support/serve.js';
import { request, type RawClient } from '../support/mcp-http.js';

export const call = (id: number, name: string, args: Record<string, unknown> = {}) =>
  request(id, 'tools/call', { name, arguments: args });

/** Starts two nodes in one process, and a client whose session the first one owns. */
export async function owned(options: NodeOptions) {
  const store = memoryBackplane();
  const both = { backplane: store, affinity: 'owner' as const, ...options };
  const a = await startNode(both);
  const b = await startNode(both);
  return { store, a, b, ...(await openSession(a.url)) };
}

/** Options of a node that the test itself plays. */
export function optionsOf(nodeId: string): JoinOptions {
  return {
    ...{ nodeId, leaseMs: 10_000, commandTimeoutMs: 2_000 },
    ...{ sessionTtlMs: 60_000, pendingTtlMs: 60_000 },
    retention: { maxEvents: 1_000, maxAgeMs: 60_000 },
    ...{ clock: systemClock, logger: console },
    ...{ onMessage: () => undefined, onLost: () => undefined, onLapse: () => undefined },
  };
}

/** Joins an owner that sends only what the test tells it to send. */
export async function ghostOwner(store: Backplane, from: TestNode, sessionId: string) {
  const ghost = store.join(optionsOf('ghost'));
  await ghost.ready();
  let number = 0;
  const commit = (operation: Operation) => {
    number += 1;
    return ghost.commit({ sessionId, number, operations: [operation] });
  };
  const assign = { type: 'assign', stream: undefined, revision: undefined } as const;
  await commit({ ...assign, dead: from.mcp.nodeId });
  expect((await ghost.load(sessionId))?.owner).toBe('ghost');
  return {
    /** Begins the latest request. */
    async begin() {
      const inbound = await ghost.history(sessionId, LOG_START, 100);
      const stream = inbound.filter(({ direction }) => direction === 'in').at(-1)?.stream;
      await commit({ ...assign, stream, dead: undefined });
    },
    giveUp: () => commit({ type: 'forget' }),
    owner: async () => (await ghost.load(sessionId))?.owner,
    leave: () => ghost.leave(),
  };
}

export const text = (answer: object | undefined): unknown =>
  (answer as { result?: { content: { text: string }[] } }).result?.content[0]?.text;

export async function textOf(client: RawClient, url: string, message: ReturnType<typeof call>) {
  const answer = await client.post(url, message);
  return text(await answer.answer(message.id as number));
}
