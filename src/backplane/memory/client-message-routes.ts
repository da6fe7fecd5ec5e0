import type { NodeMessage, OperationResult, ReceiveOperation } from '../backplane.js';
import { nextRevision } from '../revision.js';
import type { StreamExecutors } from './stream-executors.js';
import { noteEntry } from './memory-log.js';
import type { SessionParts, Step } from './stored-stream.js';

/** Routes those messages of a client that open no stream. */
export class ClientMessageRoutes {
  /** The step that made the session active, and the node that handles `initialized`. */
  private activation: { nodeId: string; number: number; handler: string } | undefined;

  constructor(
    private readonly session: SessionParts,
    private readonly executors: StreamExecutors,
  ) {}

  private madeBy({ nodeId, number }: Step): { handler: string } | undefined {
    const { activation } = this;
    const isSame = activation?.nodeId === nodeId && activation.number === number;
    return isSame ? activation : undefined;
  }

  follow(operation: ReceiveOperation, step: Step): OperationResult {
    const { route, message } = operation;
    const deliver: NodeMessage = { type: 'deliver', sessionId: this.session.stored.id, message };
    let here = false;
    let handler: string | undefined;
    let changed = false;
    let unbegun: string | undefined;
    switch (route.to) {
      case 'node':
        here = route.nodeId === step.nodeId;
        if (!here && !step.repeated) this.session.tell(route.nodeId, deliver);
        break;
      case 'executor': {
        const name = this.session.requests.get(route.request);
        const stream = name === undefined ? undefined : this.session.streams.get(name);
        const executor = stream?.executor;
        if (stream?.unbegun === true) {
          unbegun = name;
          handler = executor;
          break;
        }
        here = executor === step.nodeId;
        // Tell the executor in a repeat too, because the stream may not have been begun at the first try. To hear of a
        // cancellation twice does no harm.
        if (executor !== undefined && !here) this.session.tell(executor, deliver);
        break;
      }
      case 'replicas':
        here = this.session.replicas.has(step.nodeId);
        if (!step.repeated) {
          for (const node of this.session.replicas)
            if (node !== step.nodeId) this.session.tell(node, deliver);
        }
        break;
      case 'initialized': {
        const [first] = this.session.replicas;
        const withReplica = this.session.replicas.has(step.nodeId)
          ? step.nodeId
          : (first ?? step.nodeId);
        // A repeat of the step that made the session active gives the same handler, even if other nodes have replicas now.
        const made = step.repeated ? this.madeBy(step) : undefined;
        const able = route.owned === true ? this.executors.takeOwnershipIfFree(step) : withReplica;
        const chosen = made?.handler ?? able;
        changed = made !== undefined;
        here = chosen === step.nodeId;
        if (!here) handler = chosen;
        if (!step.repeated) {
          if (!this.session.stored.active) {
            this.session.stored.active = true;
            this.activation = { nodeId: step.nodeId, number: step.number, handler: chosen };
            this.session.log.append(
              step.now,
              noteEntry({ kind: 'session.initialized', nodeId: step.nodeId }),
            );
            const { revision } = this.session.stored;
            this.session.stored.revision = nextRevision(revision, step.nodeId, step.number);
            changed = true;
            this.session.tellReplicas(step.nodeId, (node) =>
              node === chosen ? message : undefined,
            );
          } else if (!here) {
            this.session.tell(chosen, deliver);
          }
        }
        if (here) this.session.registerReplica(operation.revision, step);
        break;
      }
      case 'here':
        here = true;
        this.session.registerReplica(operation.revision, step);
        break;
      case 'owner': {
        const owner = this.executors.takeOwnershipIfFree(step);
        here = owner === step.nodeId;
        if (here) this.session.registerReplica(operation.revision, step);
        else handler = owner;
        break;
      }
      case 'nobody':
    }
    return {
      ...{ status: 'received', here },
      // The handler is empty in a repeat, if the session has no owner any more.
      ...(handler !== undefined && handler !== '' && { handler }),
      ...(changed && { changed }),
      ...(unbegun !== undefined && { unbegun }),
    };
  }
}
