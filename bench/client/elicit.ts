import type { Connections } from './connection.js';
import { measure, type Load } from './crowd.js';
import { EventReader } from './event-reader.js';
import { answer, callTool, expectStatus, type Session } from './mcp.js';

export interface ElicitOptions {
  /** The URL at which the tool is called. */
  url: string;
  /** The URL to which the client's answer is sent. */
  answerUrl: string;
  concurrency: number;
  forMs: number;
}

interface Message {
  id: string | number;
  method?: string;
  result?: unknown;
}

/** Calls a tool that asks the client, answers, and waits for the tool's result. Each worker has its own session. */
export function elicit(
  connections: Connections,
  sessions: readonly Session[],
  { url, answerUrl, concurrency, forMs }: ElicitOptions,
): Promise<Load> {
  const began = performance.now();
  return measure(concurrency, (at, latencies) =>
    connections.with(url, (calling) =>
      connections.with(answerUrl, async (answering) => {
        const session = sessions[at];
        if (session === undefined) throw new Error('There are fewer sessions than workers');
        while (performance.now() - began < forMs) {
          const start = performance.now();
          let result = '';
          let answered: Promise<void> | undefined;
          const reader = new EventReader(({ data }) => {
            const message = JSON.parse(data) as Message;
            if (message.method === 'elicitation/create') {
              const given = { action: 'accept', content: { name: 'Ada' } };
              answered = answer(answering, session, message.id, given);
              // This promise is awaited below.
              answered.catch(() => undefined);
            } else {
              result = data;
            }
          });
          const reply = await callTool(calling, session, 'ask', {
            onText: (text) => reader.push(text),
          });
          expectStatus(reply, 200, 'tools/call');
          if (!result.includes('accept: Ada')) throw new Error(`Not the result: ${result}`);
          latencies.push(performance.now() - start);
          await answered;
        }
      }),
    ),
  );
}
