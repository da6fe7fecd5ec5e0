import type { JsonRpcMessage, RequestId } from '../../protocol/jsonrpc.js';
import type { DeliveryContext } from '../replica.js';

/** Whoever asked the client something, and is to hear what comes back. */
export interface Asker {
  readonly sessionId: string;
  /** An answer, or progress, with the cluster's id still in it. */
  deliver(message: JsonRpcMessage, context?: DeliveryContext): void;
}

interface Ask {
  asker: Asker;
  original: RequestId;
}

const FORMAT = /^([0-9a-z]{1,32})\.(\d{1,15})$/;

/** The node that a server's request id or progress token names; `undefined`: it is not one of ours. */
export function nodeOf(id: unknown): string | undefined {
  return typeof id === 'string' ? FORMAT.exec(id)?.[1] : undefined;
}

/**
 * Ids that are unique in the cluster and name their node: `<nodeId>.<n>`.
 *
 * Every replica counts its request ids from 0, so two of them would send the same id and an answer could resolve
 * another node's promise. Since the id itself says where the answer belongs, no route has to be stored before the
 * request goes out, and no answer can be too fast.
 */
export class OutgoingRequests {
  private readonly open = new Map<string, Ask>();
  private count = 0;

  constructor(private readonly nodeId: string) {}

  add(asker: Asker, original: RequestId): string {
    this.count += 1;
    const id = `${this.nodeId}.${this.count}`;
    this.open.set(id, { asker, original });
    return id;
  }

  /** Only within the session that it was asked in: the id alone is no credential. */
  find(sessionId: string, id: unknown): Ask | undefined {
    const ask = typeof id === 'string' ? this.open.get(id) : undefined;
    return ask?.asker.sessionId === sessionId ? ask : undefined;
  }

  /** Sessions in which somebody waits for an answer. */
  sessions(): string[] {
    return [...this.open.values()].map(({ asker }) => asker.sessionId);
  }

  remove(id: string): void {
    this.open.delete(id);
  }
}
