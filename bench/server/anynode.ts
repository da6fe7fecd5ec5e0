import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import { built } from './built.js';
import { buildServer } from './build-server.js';
import type { Mounted, NodeSettings } from './contestants.js';
import { telemetryFor } from './telemetry.js';

/** More events than the default, so that the longest measured gap can still be resumed. */
const MAX_EVENTS = 20_000;

/**
 * A limit of sessions that is never reached. All sessions belong to one anonymous caller, which opens more in a minute than
 * the default allows.
 */
const MANY = 1_000_000;

/** A bound of the outbox that is never reached. */
const NO_BOUND = 2 ** 40;

function auditOf(setting: 'outbox' | 'directory') {
  const bounds = { maxSessionBytes: NO_BOUND, maxTotalBytes: NO_BOUND };
  if (setting === 'outbox') return bounds;
  return { ...bounds, sink: mkdtempSync(join(tmpdir(), 'anynode-audit-')) };
}

export async function mountAnynode(settings: NodeSettings, redisUrl: string): Promise<Mounted> {
  const { anynode } = await built();
  const { contestant, responseMode, prefix = 'bench' } = settings;
  const { leaseMs, sessionTtlMs, replicaIdleMs, maxReplicas } = settings;
  const telemetry = await telemetryFor(settings.telemetry);
  const mcp = anynode({
    ...{ server: buildServer, responseMode, leaseMs, sessionTtlMs, replicaIdleMs, maxReplicas },
    retention: { maxEvents: MAX_EVENTS },
    limits: { anonymousSessions: MANY, anonymousPending: MANY },
    ...(contestant === 'redis' && { redis: redisUrl, prefix }),
    ...telemetry.options,
    ...(settings.audit !== undefined && { audit: auditOf(settings.audit) }),
  });
  await mcp.ready();
  return {
    listener: telemetry.listening(
      settings.mount === 'plain' ? mcp.listener : express().use('/mcp', mcp),
    ),
    notify: (id, notification) => mcp.session(id).notify(notification),
    announce: async () => {
      await mcp.notify.toolsChanged();
    },
    replicas: () => mcp.health().sessions,
  };
}
