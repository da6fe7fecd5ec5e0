import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const SRC = new URL('../../src/', import.meta.url);

/** Where the clock of the machine is read, and why. No promise depends on any of these places. */
const READERS: Record<string, string> = {
  'protocol/timing/clock.ts': 'is the clock',
  'backplane/redis/lease-info.ts': 'says when a node started, to people',
  'backplane/memory/memory-backplane.ts':
    'is the clock of this backplane, which goes on evenly from its beginning',
  'operator/survey.ts': 'says when statistics were taken',
  'operator/session-events.ts': 'says when a session turned out to have ended',
  'execution/session-start.ts': 'tells the factory when a session begins that is not stored yet',
  'execution/client-connections.ts': 'measures how long a message was on its way, for metrics',
  'stream/log-horizon.ts': 'refuses log ids that are a day ahead, as made up',
  'monitor/session-tail.ts': 'says when a session turned out to have ended, to the page',
  'monitor/page/format.ts': 'shows the time zone of the browser',
  'monitor/page/session/use-session.ts': 'shows ages, in the browser',
  'cli/commands/nodes.ts': 'shows an age',
  'cli/commands/session.ts': 'shows an age',
  'cli/commands/sessions.ts': 'shows an age',
  'cli/times.ts': 'takes a time of today, or how long ago it was',
};

// A node whose clock was 16 minutes ahead never got an answer that had been acknowledged.
it('the clock of the machine is read only for times that people read', () => {
  const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' });
  const readers = files
    .filter((file) => file.endsWith('.ts'))
    .filter((file) =>
      /\bDate\.now\b|\bclock\.now\b|new Date\(\)/.test(readFileSync(new URL(file, SRC), 'utf8')),
    );
  expect(readers.sort()).toEqual(Object.keys(READERS).sort());
});
