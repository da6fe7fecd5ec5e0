import { onTestFinished } from 'vitest';
import { request, type RawClient, type SseReader } from '../../support/mcp-http.js';
import type { Nodes, TestNode } from './cluster.js';
import { resultText } from './cluster.js';

export interface Ledger {
  /** Numbers of the notifications that were stored, as far as their sender was told, and when it was told. */
  stored: Map<number, number>;
  /** The numbers that the client was shown, in order, over all its connections. */
  shown: number[];
  /** `longestMs`: until a call was taken or refused. The answer of one that was taken waits for as long as Redis is away. */
  calls: { ended: number; refused: number; longestMs: number };
  /** Whatever should not have happened. */
  surprises: string[];
  /** The longest time between the ends of two calls that succeeded. */
  gapMs: number;
}

export interface Load {
  readonly ledger: Ledger;
  /** Resolves when so many more calls have succeeded, and so many more notifications been stored, from now on. */
  more: (count: number) => Promise<void>;
  /** Sends no more, and resolves when all is over, and what was stored last has been shown. */
  stop: () => Promise<Ledger>;
}

/**
 * One client under load: numbered notifications from the node where the session began, calls to all nodes in turn, and
 * a stream that is resumed wherever it ends. Everything goes into a ledger.
 */
export function startLoad(nodes: Nodes, client: RawClient): Load {
  const [born] = nodes;
  const sessionId = client.sessionId ?? '';
  const ledger: Ledger = {
    stored: new Map(),
    shown: [],
    calls: { ended: 0, refused: 0, longestMs: 0 },
    surprises: [],
    gapMs: 0,
  };
  let running = true;
  let sent = 0;
  let succeededAt = performance.now();
  const watchers = new Set<() => void>();
  const look = (): void => {
    for (const watcher of watchers) watcher();
  };
  const until = (condition: () => boolean): Promise<void> =>
    new Promise((resolve) => {
      const watcher = (): void => {
        if (!condition()) return;
        watchers.delete(watcher);
        resolve();
      };
      watchers.add(watcher);
      watcher();
    });
  const surprise = (what: string) => (error: unknown) =>
    void ledger.surprises.push(`${what}: ${String(error)}`);

  const notifying = (async () => {
    while (running) {
      const number = (sent += 1);
      await born.call('push', { sessionId, from: number, as: 'n' });
      ledger.stored.set(number, performance.now());
      look();
      await pause(10);
    }
  })().catch(surprise('a notification'));

  const call = async (node: TestNode): Promise<void> => {
    const began = performance.now();
    const id = client.nextId();
    const params = { name: 'echo', arguments: { text: `${id}` } };
    const answer = await client.post(node.url, request(id, 'tools/call', params));
    ledger.calls.longestMs = Math.max(ledger.calls.longestMs, performance.now() - began);
    if (answer.status === 503) {
      ledger.calls.refused += 1;
    } else {
      const text = resultText(await answer.expect(200).answer(id));
      if (text !== `${id}`) throw new Error(`wrong answer ${text}`);
      ledger.calls.ended += 1;
      ledger.gapMs = Math.max(ledger.gapMs, performance.now() - succeededAt);
      succeededAt = performance.now();
    }
    look();
  };
  const calling = (async () => {
    for (let at = 0; running; at += 1) {
      await call(nodes[at % 3] as TestNode).catch(surprise('a call'));
      await pause(10);
    }
  })();

  let stream: SseReader | undefined;
  const listening = (async () => {
    let lastEventId: string | undefined;
    for (let at = 1; running; at += 1) {
      const node = nodes[at % 3] as TestNode;
      const answer = await client.get(node.url, lastEventId === undefined ? {} : { lastEventId });
      if (answer.status === 503) {
        await pause(50);
        continue;
      }
      stream = answer.sse;
      for await (const { message } of stream) {
        ledger.shown.push(Number(String(message?.params?.['data']).slice('n '.length)));
        look();
      }
      ({ lastEventId = lastEventId } = stream);
    }
  })().catch(surprise('the stream'));

  const more: Load['more'] = (count) => {
    const [calls, stored] = [ledger.calls.ended + count, ledger.stored.size + count];
    return until(() => ledger.calls.ended >= calls && ledger.stored.size >= stored);
  };
  const stop: Load['stop'] = async () => {
    running = false;
    await Promise.all([notifying, calling]);
    await until(() => ledger.shown.includes(sent) || ledger.surprises.length > 0);
    stream?.close();
    await listening;
    return ledger;
  };
  onTestFinished(() => {
    running = false;
    stream?.close();
  });
  return { ledger, more, stop };
}

/** The numbers that were stored and never shown. */
export function lost({ stored, shown }: Ledger): number[] {
  const seen = new Set(shown);
  return [...stored.keys()].filter((number) => !seen.has(number));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
