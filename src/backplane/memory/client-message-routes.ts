import type {
  NodeMessage,
  OperationResult,
  ReceiveOperation,
  SessionRecord,
} from '../backplane.js';
import type { Revision } from '../revision.js';
import { nextRevision } from '../revision.js';
import type { StreamExecutors } from './stream-executors.js';
import type { MemoryLog } from './memory-log.js';
import { noteEntry } from './memory-log.js';
import type { Step, Stream, Tell } from './stored-stream.js';

/** What belongs to the stored session of which this is a part. */
interface Parts {
  streams: Map<string, Stream>;
  /** The stream of each running request. */
  requests: Map<string, string>;
  /** Nodes that have a server object of the session. */
  replicas: Set<string>;
  stored: SessionRecord;
  log: MemoryLog;
  executors: StreamExecutors;
  tell: Tell;
  tellReplicas(except: string, message: (nodeId: string) => string | undefined): void;
  /** A caller that has no replica, or one of another revision, needs the record. */
  check(known: Revision | undefined, step: Step): void;
}

/** Where the messages of a client go that open no stream. */
export class ClientMessageRoutes {
  /** The step that made the session active, and which node handles the message. */
  private activation: { nodeId: string; number: number; handler: string } | undefined;

  constructor(private readonly parts: Parts) {}

  private madeBy({ nodeId, number }: Step): { handler: string } | undefined {
    const { activation } = this;
    const isSame = activation?.nodeId === nodeId && activation.number === number;
    return isSame ? activation : undefined;
  }

  follow(operation: ReceiveOperation, step: Step): OperationResult {
    const { route, message } = operation;
    const deliver: NodeMessage = { type: 'deliver', sessionId: this.parts.stored.id, message };
    let here = false;
    let handler: string | undefined;
    let changed = false;
    let unbegun: string | undefined;
    switch (route.to) {
      case 'node':
        here = route.nodeId === step.nodeId;
        if (!here && !step.repeated) this.parts.tell(route.nodeId, deliver);
        break;
      case 'executor': {
        const name = this.parts.requests.get(route.request);
        const stream = name === undefined ? undefined : this.parts.streams.get(name);
        const executor = stream?.executor;
        if (stream?.unbegun === true) {
          unbegun = name;
          handler = executor;
          break;
        }
        here = executor === step.nodeId;
        // With a repeat, too: it may not have been begun the first time. To hear of a cancellation twice does no harm.
        if (executor !== undefined && !here) this.parts.tell(executor, deliver);
        break;
      }
      case 'replicas':
        here = this.parts.replicas.has(step.nodeId);
        if (!step.repeated) {
          for (const node of this.parts.replicas)
            if (node !== step.nodeId) this.parts.tell(node, deliver);
        }
        break;
      case 'initialized': {
        const [first] = this.parts.replicas;
        const any = this.parts.replicas.has(step.nodeId) ? step.nodeId : (first ?? step.nodeId);
        // A repeat of the step that made the session active says the same as that, whoever has a replica by now.
        const made = step.repeated ? this.madeBy(step) : undefined;
        const able = route.owned === true ? this.parts.executors.ownerUnless(step) : any;
        const chosen = made?.handler ?? able;
        changed = made !== undefined;
        here = chosen === step.nodeId;
        if (!here) handler = chosen;
        if (!step.repeated) {
          if (!this.parts.stored.active) {
            this.parts.stored.active = true;
            this.activation = { nodeId: step.nodeId, number: step.number, handler: chosen };
            this.parts.log.append(
              step.now,
              noteEntry({ kind: 'session.initialized', nodeId: step.nodeId }),
            );
            const { revision } = this.parts.stored;
            this.parts.stored.revision = nextRevision(revision, step.nodeId, step.number);
            changed = true;
            this.parts.tellReplicas(step.nodeId, (node) => (node === chosen ? message : undefined));
          } else if (!here) {
            this.parts.tell(chosen, deliver);
          }
        }
        if (here) this.parts.check(operation.revision, step);
        break;
      }
      case 'here':
        here = true;
        this.parts.check(operation.revision, step);
        break;
      case 'owner': {
        const owner = this.parts.executors.ownerUnless(step);
        here = owner === step.nodeId;
        if (here) this.parts.check(operation.revision, step);
        else handler = owner;
        break;
      }
      case 'nobody':
    }
    return {
      ...{ status: 'received', here },
      // Empty: a repeat, of a session that nobody owns any more.
      ...(handler !== undefined && handler !== '' && { handler }),
      ...(changed && { changed }),
      ...(unbegun !== undefined && { unbegun }),
    };
  }
}
