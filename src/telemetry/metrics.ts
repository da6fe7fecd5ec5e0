import type {
  Attributes,
  AttributeValue,
  Counter as OtelCounter,
  Histogram,
  Meter,
  ObservableCallback,
  ObservableGauge,
} from '@opentelemetry/api';
import { createNoopMeter } from '@opentelemetry/api';
import type { Counter, Duration, Labels, ObservedNode } from '../options/node-telemetry.js';
import { ATTRIBUTE, OTHER } from './attributes.js';

/** How many tools and prompts have series of their own. */
const MOST_NAMES = 500;
/** How many tools and prompts get a series of their own although none of their calls has succeeded yet. */
const MOST_FAILING_NAMES = 100;
/** The buckets of the MCP semantic conventions, in seconds. */
const OPERATION_BUCKETS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300];
/** Sessions live for hours or days, so the conventions' buckets go on. */
const SESSION_BUCKETS = [...OPERATION_BUCKETS, 900, 3600, 14_400, 43_200, 86_400, 259_200, 604_800];
/** Steps of the backplane and deliveries take about a millisecond. */
const SHORT_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60,
];

const COUNTERS: Record<Counter, [name: string, description: string]> = {
  fenced: ['anynode.fenced', 'Requests and answers of this node that another node has taken over'],
  leaseLapses: ['anynode.lease.lapses', 'Times that this node had no lease'],
  logTrimmed: [
    'anynode.log.trimmed',
    'Clients that were refused because they came back for events that are no longer kept',
  ],
  orphans: ['anynode.orphans', 'Requests of dead nodes that this node has ended or run again'],
  refusals: ['anynode.refusals', 'Requests that were refused'],
  resumes: ['anynode.resumes', 'Streams that clients came back to'],
  takeovers: ['anynode.takeovers', 'Streams and sessions taken from another connection or node'],
  wakeupsMissed: [
    'anynode.wakeups.missed',
    'Messages of other nodes that were lost or came too late',
  ],
};

/** The counters that begin with zero, each with the labels of its series. */
const FROM_ZERO: [Counter, ...Labels[]][] = [
  ['fenced', {}],
  ['leaseLapses', {}],
  ['logTrimmed', {}],
  ['orphans', { outcome: 'ended' }, { outcome: 'rerun' }],
  ['takeovers', { of: 'stream', node: 'same' }, { of: 'session', node: 'other' }],
  ['wakeupsMissed', {}],
];

const DURATIONS: Record<Duration, [name: string, description: string, buckets: number[]]> = {
  backplaneOperation: [
    'anynode.backplane.operation.duration',
    'How long a step of the backplane took',
    SHORT_BUCKETS,
  ],
  deliveryLag: [
    'anynode.delivery.lag',
    'From when a message was stored to when it was written to its connection',
    SHORT_BUCKETS,
  ],
  drain: ['anynode.drain.duration', 'How long this node took to close', OPERATION_BUCKETS],
  ownerHop: [
    'anynode.owner_hop.duration',
    'From when a request was handed to its owner to when the owner began it',
    SHORT_BUCKETS,
  ],
  rehydrate: [
    'anynode.rehydrate.duration',
    'How long it took to build a server object',
    SHORT_BUCKETS,
  ],
  // Redis removes a session that expires, and no node hears of it.
  session: [
    'mcp.server.session.duration',
    'How long a session lived that its client has deleted',
    SESSION_BUCKETS,
  ],
};

const GAUGES = {
  'anynode.sessions': ['sessions', '{session}', 'Sessions that this node is using'],
  'anynode.replicas': ['replicas', '{replica}', 'Server objects in this node'],
  'anynode.streams': ['streams', '{stream}', 'Streams that connections of this node hold'],
  'anynode.requests.active': ['requests', '{request}', 'Requests that run on this node'],
  'anynode.buffered': ['bufferedBytes', 'By', 'Bytes that wait for clients which read slowly'],
} as const;

/** The metrics of one node. */
export class Metrics {
  private readonly counters = new Map<Counter, OtelCounter>();
  private readonly durations = new Map<Duration, Histogram>();
  private readonly operations: Record<'server' | 'client', Histogram>;
  private readonly node: Attributes;
  /** True if no SDK records metrics. Attributes are not even made then. */
  readonly isOff: boolean;
  private readonly callbacks: [ObservableGauge, ObservableCallback][] = [];
  /** The tools and prompts that exist. */
  private readonly names = new Set<string>();
  /** The first tools and prompts that have failed. Clients may have made their names up. */
  private readonly failingNames = new Set<string>();

  constructor(
    private readonly meter: Meter,
    private readonly observed: ObservedNode,
  ) {
    this.node = { [ATTRIBUTE.node]: observed.nodeId };
    this.isOff = meter === createNoopMeter();
    const histogram = (name: string, description: string, buckets: number[]): Histogram =>
      meter.createHistogram(name, {
        ...{ description, unit: 's' },
        advice: { explicitBucketBoundaries: buckets },
      });
    this.operations = {
      server: histogram(
        'mcp.server.operation.duration',
        'How long a request of a client took, from its arrival until its answer was stored',
        OPERATION_BUCKETS,
      ),
      client: histogram(
        'mcp.client.operation.duration',
        'How long a request of the server took, until the answer of the client was here',
        OPERATION_BUCKETS,
      ),
    };
    for (const [what, duration] of Object.entries(DURATIONS)) {
      this.durations.set(what as Duration, histogram(...duration));
    }
    for (const [what, [name, description]] of Object.entries(COUNTERS)) {
      this.counters.set(what as Counter, meter.createCounter(name, { description }));
    }
    // A counter that has never counted would be unknown to queries, which could not tell it from one that is missing.
    for (const [what, ...labels] of FROM_ZERO) {
      for (const each of labels) this.counters.get(what)?.add(0, { ...each, ...this.node });
    }
  }

  /** Begins to read the node from time to time. The meter then holds the node, until `close`. */
  open(): void {
    for (const [name, [what, unit, description]] of Object.entries(GAUGES)) {
      const gauge = this.meter.createObservableGauge(name, { unit, description });
      const callback: ObservableCallback = (result) =>
        result.observe(this.observed[what](), this.node);
      this.callbacks.push([gauge, callback]);
      gauge.addCallback(callback);
    }
  }

  close(): void {
    for (const [gauge, callback] of this.callbacks.splice(0)) gauge.removeCallback(callback);
  }

  operation(
    by: 'server' | 'client',
    milliseconds: number,
    common: Attributes,
    outcome: Attributes,
  ): void {
    if (this.isOff) return;
    const named = { ...common, ...outcome, ...this.node };
    for (const key of [ATTRIBUTE.tool, ATTRIBUTE.prompt]) {
      if (key in named) named[key] = this.knownName(named[key], ATTRIBUTE.error in named);
    }
    this.operations[by].record(milliseconds / 1000, named);
  }

  /**
   * A client may call tools that do not exist, and each name would be a time series. So the names of tools that have only
   * failed are limited in number. They have a limit of their own, because made-up names must not push out those of tools
   * that exist.
   */
  private knownName(name: AttributeValue | undefined, hasFailed: boolean): string {
    const text = String(name);
    const [names, most] = hasFailed
      ? [this.failingNames, MOST_FAILING_NAMES]
      : [this.names, MOST_NAMES];
    if (names.size < most) names.add(text);
    return this.names.has(text) || this.failingNames.has(text) ? text : OTHER;
  }

  count(what: Counter, labels: Labels = {}): void {
    if (!this.isOff) this.counters.get(what)?.add(1, { ...labels, ...this.node });
  }

  measure(what: Duration, milliseconds: number, labels: Labels = {}): void {
    if (this.isOff) return;
    this.durations.get(what)?.record(milliseconds / 1000, { ...labels, ...this.node });
  }
}
