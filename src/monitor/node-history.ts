/** Remembers the nodes of a cluster, so that a node that has gone is still shown for a while. */
import type { NodeStats, Stats } from '../operator/observer.js';
import type { PageNode } from './wire.js';

/** How many figures the small chart of a node has. */
const POINTS = 60;
/** How long a node that has gone is shown. */
const SHOWN_GONE_MS = 120_000;
const MOST_NODES = 200;
/** A lease that is renewed at a third of it is never shorter than two thirds, but for a pause. */
const LATE = 0.5;

export class NodeHistory {
  private readonly nodes = new Map<string, PageNode>();
  private lastAt: number | undefined;

  /** Takes one look at the cluster, and returns the nodes: those that live, and those that have gone lately. */
  take(stats: Stats, now: number): PageNode[] {
    const elapsed = this.lastAt === undefined ? 1000 : Math.max(1, now - this.lastAt);
    this.lastAt = now;
    const alive = new Set<string>();
    for (const info of stats.nodes) {
      alive.add(info.id);
      const node = this.nodes.get(info.id) ?? fresh(info);
      Object.assign(node, info);
      node.leaseMs = Math.max(node.leaseMs, info.leaseLeftMs);
      node.state = info.leaseLeftMs < node.leaseMs * LATE ? 'late' : 'alive';
      delete node.goneAt;
      this.nodes.set(info.id, node);
    }
    this.count(stats, elapsed);
    for (const node of this.nodes.values()) {
      if (alive.has(node.id)) continue;
      if (node.goneAt === undefined) {
        // The lease of a node that has died runs out. A node that closes gives its lease back.
        node.state = node.leaseLeftMs <= elapsed * 2 ? 'died' : 'closed';
        node.goneAt = now;
        node.leaseLeftMs = 0;
      }
      if (now - node.goneAt > SHOWN_GONE_MS || this.nodes.size > MOST_NODES) {
        this.nodes.delete(node.id);
      }
    }
    return [...this.nodes.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  private count({ traffic }: Stats, elapsed: number): void {
    const [events, errors] = [new Map<string, number>(), new Map<string, number>()];
    for (const { event } of traffic?.events ?? []) {
      const { nodeId = '', message } = event;
      events.set(nodeId, (events.get(nodeId) ?? 0) + 1);
      const failed =
        event.type === 'request.failed' ||
        (message !== undefined && ('error' in message || isFailure(message)));
      if (failed) errors.set(nodeId, (errors.get(nodeId) ?? 0) + 1);
    }
    // Only the last events are told. Their shares hold for all of them.
    const told = traffic?.events.length ?? 0;
    const scale =
      told === 0 ? 0 : ((traffic?.count ?? 0) / told) * (1000 / (traffic?.ms ?? elapsed));
    for (const node of this.nodes.values()) {
      push(node.rate, (events.get(node.id) ?? 0) * scale);
      push(node.errors, (errors.get(node.id) ?? 0) * scale);
    }
  }
}

function fresh(info: NodeStats): PageNode {
  return {
    ...info,
    ...{ state: 'alive', leaseMs: info.leaseLeftMs, rate: [], errors: [] },
  };
}

function isFailure(message: object): boolean {
  const result: unknown = 'result' in message ? message.result : undefined;
  return (
    typeof result === 'object' && result !== null && 'isError' in result && result.isError === true
  );
}

function push(list: number[], value: number): void {
  list.push(Number.isFinite(value) ? Math.round(value * 10) / 10 : 0);
  if (list.length > POINTS) list.shift();
}
