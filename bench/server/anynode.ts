import express from 'express';
import type * as Anynode from '../../src/index.js';
import { buildServer } from './build-server.js';
import type { Mounted, NodeSettings } from './contestants.js';

/** More than the default, so that the longest gap that is measured can still be resumed. */
const MAX_EVENTS = 20_000;

/** All sessions here are one nameless caller's, who opens more of them in a minute than the default would bear. */
const MANY = 1_000_000;

/**
 * What is measured is what is shipped. The TypeScript of `src` would run too, but as tsx compiles it: with a call for
 * the name of each inner function, each time one is made.
 */
const BUILT = new URL('../../dist/index.js', import.meta.url).href;

export async function mountAnynode(settings: NodeSettings, redisUrl: string): Promise<Mounted> {
  const { anynode } = (await import(BUILT)) as typeof Anynode;
  const { contestant, responseMode, prefix = 'bench', replicaIdleMs, maxReplicas } = settings;
  const mcp = anynode({
    ...{ server: buildServer, responseMode, replicaIdleMs, maxReplicas },
    retention: { maxEvents: MAX_EVENTS },
    limits: { anonymousSessions: MANY, anonymousPending: MANY },
    ...(contestant === 'redis' && { redis: redisUrl, prefix }),
  });
  await mcp.ready();
  return {
    listener: settings.plain === true ? mcp.listener : express().use('/mcp', mcp),
    notify: (id, notification) => mcp.session(id).notify(notification),
    announce: async () => {
      await mcp.notify.toolsChanged();
    },
    replicas: () => mcp.health().sessions,
  };
}
