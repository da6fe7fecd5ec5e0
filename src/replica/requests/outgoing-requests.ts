import type { JsonRpcMessage, RequestId } from '../../protocol/json/jsonrpc.js';
import type { DeliveryContext } from '../replica.js';

/** The sender of a request to the client. It gets the answer and the progress. */
export interface Asker {
  readonly sessionId: string;
  /** Takes an answer or a progress notification. The message still has the id or token that is unique in the cluster. */
  deliver(message: JsonRpcMessage, context?: DeliveryContext): void;
}

interface OutgoingRequest {
  asker: Asker;
  original: RequestId;
}

const FORMAT = /^([0-9a-z]{1,32})\.(\d{1,15})$/;

/** Returns the node that an id or progress token names, or `undefined` if it does not have the format of this library. */
export function nodeOf(id: unknown): string | undefined {
  return typeof id === 'string' ? FORMAT.exec(id)?.[1] : undefined;
}

/**
 * The open requests from this node to clients. Their ids are unique in the cluster and name the node: `<nodeId>.<n>`.
 * Progress tokens get such ids, too.
 *
 * Every replica counts its request ids from 0. Two replicas would send the same id, and an answer could reach the wrong
 * one. The id says which node the answer belongs to, so no route has to be stored before the request is sent.
 */
export class OutgoingRequests {
  private readonly open = new Map<string, OutgoingRequest>();
  private count = 0;

  constructor(
    private readonly nodeId: string,
    /** Called with each id to which no answer is expected any more. */
    private readonly onRemoved: (id: string) => void = () => undefined,
  ) {}

  add(asker: Asker, original: RequestId): string {
    this.count += 1;
    const id = `${this.nodeId}.${this.count}`;
    this.open.set(id, { asker, original });
    return id;
  }

  /** Finds an open request of this session. The session has to match, because an id alone must not give access. */
  find(sessionId: string, id: unknown): OutgoingRequest | undefined {
    const request = typeof id === 'string' ? this.open.get(id) : undefined;
    return request?.asker.sessionId === sessionId ? request : undefined;
  }

  /** The sessions with an open request, one entry for each request. */
  sessions(): string[] {
    return [...this.open.values()].map(({ asker }) => asker.sessionId);
  }

  remove(id: string): void {
    this.open.delete(id);
    this.onRemoved(id);
  }
}
