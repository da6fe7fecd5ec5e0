import { setTimeout as sleep } from 'node:timers/promises';
import { Connection } from './connection.js';
import { measure, type Load } from './crowd.js';
import { EventReader } from './event-reader.js';
import { listenRequest, type Session } from './mcp.js';

export interface ResumeOptions {
  url: string;
  lastEventId: string;
  /** How many events come after the cursor. */
  events: number;
  times: number;
}

/** Resumes with the same cursor again and again, and reads all missed events each time. */
export function resume(session: Session, options: ResumeOptions): Promise<Load> {
  return measure(1, async (_, latencies) => {
    while (latencies.length < options.times) {
      const ms = await readMissed(session, options);
      if (ms === undefined) await sleep(2);
      else latencies.push(ms);
    }
  });
}

/**
 * Reads the missed events. Resolves with `undefined` if the server has not noticed yet that the earlier connection was
 * closed.
 */
async function readMissed(
  session: Session,
  { url, lastEventId, events }: ResumeOptions,
): Promise<number | undefined> {
  const connection = await Connection.open(url);
  try {
    return await new Promise<number | undefined>((resolve, reject) => {
      const began = performance.now();
      let seen = 0;
      const reader = new EventReader(() => {
        seen += 1;
        if (seen === events) resolve(performance.now() - began);
      });
      connection
        .send(listenRequest(session, lastEventId), { onText: (text) => reader.push(text) })
        .then(({ status }) => {
          if (status === 409) resolve(undefined);
          else reject(new Error(`A resumed stream ended with ${status} after ${seen} events`));
        }, reject);
    });
  } finally {
    connection.close();
  }
}
