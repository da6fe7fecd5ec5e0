import type { RequestHandler } from 'express';
import type { Anynode } from '../../src/handle/node-handle.js';
import { createNode } from '../../src/node.js';
import { legacySse } from '../../src/legacy-sse/legacy-sse.js';
import { Archiver } from '../../src/audit/archiver/archiver.js';
import { sinkOf } from '../../src/audit/archiver/sink-of.js';
import type { Clock } from '../../src/protocol/timing/clock.js';
import type { Logger, ServerContext } from '../../src/options/public-types.js';
import type { SimBackplane } from './backplane.js';
import type { HttpRequest, Listener } from './exchange.js';
import { Exchange } from './exchange.js';
import type { AuditTrail } from './audit-trail.js';
import type { Ledger } from './ledger.js';
import type { Setting } from './plan.js';
import type { Random } from './random.js';
import { Process, type Scheduler } from './scheduler.js';
import type { ServerHost } from './server.js';
import { SimServer } from './server.js';

export interface NodeParts {
  scheduler: Scheduler;
  random: Random;
  setting: Setting;
  ledger: Ledger;
  backplane: SimBackplane;
  sessionIdGenerator: () => string;
  /** How far the clock of the node is ahead. */
  clockMs: number;
  /** The audit trail, if nodes keep one. */
  trail: AuditTrail | undefined;
  /** Whether factories fail. */
  failing: () => boolean;
}

/** One process with the middleware in it, from its start to its end. */
export class SimNode {
  readonly process: Process;
  readonly handle: Anynode;
  private readonly legacy: RequestHandler;
  /** The timers of the node that wait, with their delays. */
  readonly timers = new Map<object, number>();
  readonly exchanges = new Set<Exchange>();
  /** True once the node accepts no more connections. */
  left = false;
  leftAt: number | undefined;
  closing = false;
  clockMs: number;

  constructor(
    readonly nodeId: string,
    private readonly parts: NodeParts,
  ) {
    const { scheduler, random, setting, ledger, backplane } = parts;
    this.process = new Process(nodeId);
    this.clockMs = parts.clockMs;
    const clock: Clock = {
      now: () => Math.floor(scheduler.now + this.clockMs),
      elapsed: () => scheduler.now,
      after: (ms, callback) => this.timer(ms, callback),
      random: () => random.next(),
    };
    let warnedAt = -Infinity;
    const log = (level: string) => (text: string) => {
      if (text.includes('was not delivered')) warnedAt = scheduler.elapsed;
      scheduler.note(`${nodeId} ${level}: ${text}`);
    };
    const logger = { warn: log('warns'), error: log('error') };
    const host: ServerHost = {
      ...{ nodeId, clock, ledger, scheduler },
      // A session warns once a second at most. So one warning may also count for other notifications of the same second.
      ...{
        setting,
        deliveryOf: (sentAt) =>
          warnedAt >= sentAt ? 'failed' : warnedAt < sentAt - 1000 ? 'stored' : 'unknown',
        stores: () => this.handle,
      },
    };
    const slowly = async (context: ServerContext): Promise<SimServer> => {
      const fails = random.chance(setting.failFactory) && parts.failing();
      const ms = random.next() * setting.factoryMs;
      await new Promise<void>((resolve) => clock.after(ms, resolve));
      if (fails) throw new Error('the factory fails');
      return new SimServer(host, context);
    };
    const isPlain = setting.factoryMs + setting.failFactory === 0;
    this.handle = createNode(
      {
        server: isPlain ? (context) => new SimServer(host, context) : slowly,
        backplane: backplane.for(this.process),
        principal: (req) => req.headers['x-user'] as string | undefined,
        sessionIdGenerator: parts.sessionIdGenerator,
        responseMode: setting.responseMode,
        standaloneStream: setting.standaloneStream,
        recovery: setting.recovery,
        affinity: setting.affinity,
        leaseMs: setting.leaseMs,
        commandTimeoutMs: setting.commandTimeoutMs,
        replicaIdleMs: setting.replicaIdleMs,
        maxReplicas: setting.maxReplicas,
        maxBufferedBytes: setting.maxBufferedBytes,
        maxStreamAgeMs: setting.maxStreamAgeMs,
        keepAliveMs: setting.keepAliveMs,
        limits: setting.limits,
        retention: setting.retention,
        retryMs: 100,
        sessionTtlMs: setting.sessionTtlMs,
        audit: auditOf(setting),
        logger,
      },
      { clock, nodeId },
    );
    this.startArchiver(clock, logger);
    this.legacy = legacySse(this.handle);
  }

  /**
   * Starts the archiver, as `startAudit` does. That imports it, which takes a time that the scheduler does not know.
   */
  private startArchiver(clock: Clock, logger: Logger): void {
    const { backplane, trail, setting } = this.parts;
    const member = backplane.member(this.nodeId);
    if (trail === undefined || member === undefined) return;
    const { leaseMs, commandTimeoutMs } = setting;
    const archiver = new Archiver({
      ...{ outboxes: member.audit, sessions: member, archiver: this.nodeId },
      ...{ sink: sinkOf(trail.sinkOf(this.process)), leaseMs, clock, logger },
    });
    archiver.start();
    member.beforeLeave = () => archiver.close(commandTimeoutMs);
  }

  request(
    request: HttpRequest,
    listener: Listener,
    name: string,
    onWrite: (text: string, waiting: number) => void,
  ): Exchange {
    const { scheduler, random, setting } = this.parts;
    const { kernelBytes, httpMs } = setting;
    const wire = { scheduler, random, kernelBytes, latencyMs: httpMs };
    const exchange = new Exchange(wire, this.process, listener, name, onWrite);
    this.exchanges.add(exchange);
    const handler = request.path === undefined ? this.handle : this.legacy;
    exchange.begin(request, (req, res) => {
      void handler(req as never, res as never, (error: unknown) => {
        scheduler.note(`${this.nodeId} error: passed on ${String(error)}`);
        res.writeHead(500).end();
      });
    });
    return exchange;
  }

  /** Kills the process, as SIGKILL does. Calls that it has sent may still take effect. It does nothing else any more. */
  crash(): void {
    this.parts.backplane.member(this.nodeId)?.link.cut('crash');
    this.process.state = 'dead';
    this.left = true;
    this.breakAll();
  }

  /** Ends the process, after `close`. */
  exit(): void {
    this.left = true;
    this.breakAll();
  }

  private breakAll(): void {
    this.leftAt = this.parts.scheduler.elapsed;
    for (const exchange of this.exchanges) exchange.broken();
    this.exchanges.clear();
  }

  private timer(ms: number, callback: () => void): () => void {
    const key = {};
    this.timers.set(key, ms);
    const cancel = this.parts.scheduler.after(
      ms,
      () => {
        this.timers.delete(key);
        callback();
      },
      this.process,
      'timer',
    );
    return () => {
      this.timers.delete(key);
      cancel();
    };
  }
}

/** The option `audit`, without the sink, because the simulator starts the archiver. */
function auditOf({ audit }: Setting) {
  if (audit === undefined) return undefined;
  const { whenFull, maxSessionBytes, maxTotalBytes } = audit;
  return { whenFull, maxSessionBytes, maxTotalBytes };
}
