/**
 * Turns the events of a session into what a picture of it shows: a bar for each request, a stretch for each connection, and a mark
 * for each thing that happened at one moment. The page, the Mermaid export and the command line draw the same timeline.
 */
import { Connections } from './connections.js';
import type { RequestInfo } from '../operator/observer.js';
import type { EventSummary } from './event-summary.js';
import { explain } from './explain.js';
import type { Bar, Mark, Timeline } from './picture.js';

/** What is known besides the log. */
export interface Present {
  /** How far requests that still run are drawn. */
  now?: number | undefined;
  /** Nodes that hold no lease any more. The log says so only once another node has ended their requests. */
  deadNodes?: readonly string[] | undefined;
  /** Which node runs a request now. The log says so only with the answer. */
  running?: readonly Pick<RequestInfo, 'id' | 'stream' | 'executor'>[] | undefined;
}

/** Computes the timeline. The events are those of one session, in order. */
export function timeline(events: EventSummary[], present: Present = {}): Timeline {
  const builder = new Builder();
  for (const event of events) builder.take(event);
  return builder.timeline(present);
}

class Builder {
  private readonly nodes = new Set<string>();
  private readonly bars: Bar[] = [];
  private readonly marks: Mark[] = [];
  private readonly connections = new Connections();
  /** The running requests of the client, by the JSON text of their ids. */
  private readonly calls = new Map<string, Bar>();
  /** The requests of the server that the client has not answered, by their ids. */
  private readonly questions = new Map<string, Bar>();
  /** The bar of each stream of a POST, which the messages of the stream belong to. */
  private readonly byStream = new Map<string, Bar>();
  /** How many calls of each stream run. */
  private readonly running = new Map<string, number>();
  private readonly dead = new Set<string>();
  private owner: string | undefined;
  private first: number | undefined;
  private last = 0;

  take(event: EventSummary): void {
    const { at, nodeId, shownBy, from } = event;
    this.first ??= at;
    this.last = Math.max(this.last, at);
    for (const node of [from, nodeId, shownBy]) {
      if (node !== undefined && node !== null && node !== '') this.nodes.add(node);
    }
    if (event.type === 'message.received') this.received(event);
    else if (event.type === 'message.sent') this.sent(event);
    else this.happened(event);
  }

  timeline({ now, deadNodes = [], running = [] }: Present): Timeline {
    const to = Math.max(this.last, now ?? 0);
    const dead = new Set([...this.dead, ...deadNodes]);
    const { stretches, marks } = this.connections.end(dead);
    for (const { id, stream, executor } of running) {
      const bar = this.calls.get(JSON.stringify(id));
      if (bar === undefined || bar.stream !== stream || executor === undefined) continue;
      bar.ranBy = executor;
      this.nodes.add(executor);
    }
    for (const bar of this.calls.values()) {
      if (dead.has(bar.ranBy ?? bar.receivedBy ?? '')) bar.stranded = true;
    }
    for (const bar of this.bars) {
      const why = explain(bar, to);
      if (why !== undefined) bar.why = why;
    }
    const all = [...this.marks, ...marks].sort((a, b) => a.at - b.at);
    return {
      nodes: [...this.nodes],
      dead: [...dead],
      ...{ bars: this.bars, marks: all, stretches },
      ...{ from: this.first ?? to, to },
    };
  }

  private received(event: EventSummary): void {
    const { kind, requestId, stream, nodeId, at } = event;
    const key = JSON.stringify(requestId);
    if (kind === 'request' && requestId !== undefined) {
      const bar = this.begin(event, 'call');
      this.calls.set(key, bar);
      if (stream !== undefined) {
        this.byStream.set(stream, bar);
        this.running.set(stream, (this.running.get(stream) ?? 0) + 1);
        this.connections.opened(stream, nodeId, at, event.id);
      }
    } else if (kind === 'result' || kind === 'error') {
      const bar = this.questions.get(key);
      if (bar === undefined) {
        this.mark(event, 'message');
        return;
      }
      this.questions.delete(key);
      end(bar, event, outcomeOf(event));
      if (nodeId !== undefined) bar.answeredBy = nodeId;
    } else if (event.method === 'notifications/cancelled') {
      const bar = this.calls.get(key);
      if (bar !== undefined) {
        bar.cancelledAt = at;
        if (nodeId !== undefined) bar.cancelledBy = nodeId;
      }
      this.mark(event, 'cancelled');
    } else {
      this.mark(event, 'message');
    }
  }

  private sent(event: EventSummary): void {
    const { kind, requestId, stream = '', at } = event;
    this.connections.sent(stream, event);
    const key = JSON.stringify(requestId);
    if (kind === 'request' && requestId !== undefined) {
      const bar = this.begin(event, 'question');
      const parent = this.byStream.get(stream);
      if (parent?.end === undefined && parent !== undefined) bar.parent = parent.key;
      this.questions.set(key, bar);
    } else if (kind === 'result' || kind === 'error' || kind === 'unknown') {
      // A message that this reader cannot read may be the answer. The end of its stream says so.
      const bar = this.calls.get(key);
      if (bar === undefined) {
        this.mark(event, 'message');
        return;
      }
      this.calls.delete(key);
      end(bar, event, outcomeOf(event));
      this.ran(bar, event);
      if (event.shownBy !== undefined) bar.shownBy = event.shownBy;
      this.ended(bar, at);
    } else {
      const bar = this.byStream.get(stream);
      if (bar !== undefined) bar.messages += 1;
      this.mark(event, 'message');
    }
  }

  private happened(event: EventSummary): void {
    const { type, requestId, nodeId, from, stream = '', at } = event;
    const bar = requestId === undefined ? undefined : this.calls.get(JSON.stringify(requestId));
    switch (type) {
      case 'stream.resumed':
        this.connections.resumed(stream, event);
        return;
      case 'request.recovered':
        this.died(event);
        if (bar !== undefined) {
          bar.reruns += 1;
          if (from !== undefined) bar.ranBefore = from;
          if (nodeId !== undefined) bar.ranBy = nodeId;
        }
        {
          this.mark(event, 'recovered');
          return;
        }
      case 'request.failed': {
        this.died(event);
        // The note comes with the error, after it.
        const failed = bar ?? this.lastEnded(requestId);
        if (failed !== undefined) {
          failed.outcome = 'lost';
          if (from !== undefined) failed.ranBy = from;
          if (nodeId !== undefined) failed.endedBy = nodeId;
        }
        this.mark(event, 'failed');
        return;
      }
      case 'request.cancelled': {
        const cancelled = bar ?? this.byStream.get(stream);
        if (cancelled !== undefined && cancelled.end === undefined) {
          this.calls.delete(JSON.stringify(cancelled.requestId));
          end(cancelled, event, 'cancelled');
          this.ran(cancelled, event);
        }
        this.connections.closed(stream, at);
        return;
      }
      case 'session.created': {
        this.mark(event, 'created');
        return;
      }
      case 'session.initialized': {
        this.mark(event, 'initialized');
        return;
      }
      case 'session.closed':
        for (const open of [...this.calls.values(), ...this.questions.values()]) {
          end(open, event, 'cancelled');
        }
        this.connections.allClosed(at);
        {
          this.mark(event, 'closed');
          return;
        }
      case 'log.trimmed': {
        this.mark(event, 'trimmed');
        return;
      }
      case 'message.received':
      case 'message.sent':
    }
  }

  private begin(event: EventSummary, kind: Bar['kind']): Bar {
    const { id, at, method = '?', name, requestId = '?', stream, nodeId, shownBy } = event;
    const bar: Bar = {
      ...{ key: id, kind, method, requestId, start: at, outcome: 'pending' },
      label: name === undefined ? method : name,
      ...{ messages: 0, reruns: 0 },
      ...(name !== undefined && { name }),
      ...(stream !== undefined && { stream }),
      ...(nodeId !== undefined && { receivedBy: nodeId }),
      ...(kind === 'question' && shownBy !== undefined && { shownBy }),
      ...(event.traceId !== undefined && { traceId: event.traceId }),
    };
    this.bars.push(bar);
    return bar;
  }

  /** Notes which node ran a request, which the answer says. */
  private ran(bar: Bar, { nodeId, at, id }: EventSummary): void {
    if (nodeId === undefined) return;
    bar.ranBy = nodeId;
    if (nodeId === bar.receivedBy || bar.reruns > 0) return;
    // Only a session with an owner runs a request on another node than the one that received it.
    if (this.owner !== undefined && this.owner !== nodeId) {
      this.marks.push({ ...{ key: id, at, kind: 'owner', node: nodeId }, from: this.owner });
    }
    this.owner = nodeId;
  }

  /** Notes that a node has died, once. */
  private died({ from, at, id }: EventSummary): void {
    if (from === undefined || this.dead.has(from)) return;
    this.dead.add(from);
    this.marks.push({ key: id, at, kind: 'died', node: from });
  }

  /** Notes that a call has ended. The connection of its stream is gone when all calls of its POST have. */
  private ended({ stream = '' }: Bar, at: number): void {
    const left = (this.running.get(stream) ?? 1) - 1;
    this.running.set(stream, left);
    if (left <= 0) this.connections.closed(stream, at);
  }

  private lastEnded(requestId: string | number | undefined): Bar | undefined {
    for (let at = this.bars.length - 1; at >= 0; at -= 1) {
      const bar = this.bars[at];
      if (bar?.kind === 'call' && bar.requestId === requestId) return bar;
    }
    return undefined;
  }

  private mark(event: EventSummary, kind: Mark['kind']): void {
    const { id: key, at, nodeId, shownBy, direction, method, from, stream } = event;
    this.marks.push({
      ...{ key, at, kind },
      ...(nodeId !== undefined && { node: nodeId }),
      ...(shownBy !== undefined && { shownBy }),
      ...(direction !== undefined && { direction }),
      ...(method !== undefined && { method }),
      ...(from !== undefined && { from }),
      ...(stream !== undefined && { stream }),
    });
  }
}

function end(bar: Bar, event: EventSummary, outcome: Bar['outcome']): void {
  bar.end = event.at;
  bar.endKey = event.id;
  bar.outcome = outcome;
  if (event.code !== undefined) bar.code = event.code;
  if (event.reason !== undefined) bar.reason = event.reason;
}

function outcomeOf({ kind, toolError, code, reason }: EventSummary): Bar['outcome'] {
  if (kind === 'unknown') return 'unknown';
  if (kind === 'result') return toolError === true ? 'tool_error' : 'ok';
  if (reason === 'node_lost' || reason === 'node_closed' || reason === 'answer_lost') return 'lost';
  return code === -32_800 ? 'cancelled' : 'error';
}
