import { AnynodeError } from '../../protocol/errors.js';
import type { Operation, SessionIdentity, SessionStore } from '../backplane.js';
import { BoundedMap } from '../../protocol/bounded-map.js';
import type { Payloads } from './payloads.js';
import { checkSeal } from './seals.js';

/** How many sessions are remembered. For others the identity is read again. */
const KNOWN = 10_000;

/**
 * Whether a principal may use a session:
 *
 * - `denied`: the session belongs to another principal.
 * - `gone`: there is no such session, or it was tampered with.
 */
export type Admission = 'admitted' | 'denied' | 'gone';

/**
 * The sessions that this node can read, each with its principal as a node with the codec stored it.
 *
 * - A node must not write to a session that it cannot read. With other keys than the rest of the cluster, it would
 *   acknowledge messages that no other node can decode, and block streams for their clients.
 * - The backplane alone does not decide the principal, because an attacker who can write to it could become any principal.
 *
 * So a node verifies the seal of a session's principal once, before it writes or shows anything in the session.
 */
export class ReadableSessions {
  /** The principal of each session. */
  private readonly known = new BoundedMap<string, string>(KNOWN);

  constructor(
    private readonly inner: SessionStore,
    private readonly payloads: Payloads,
  ) {}

  /** Returns the principal that this node has stored or verified. `undefined`: it has not. */
  principalOf(sessionId: string): string | undefined {
    return this.known.get(sessionId);
  }

  /** Notes a session's principal that this node has verified or sealed. */
  note(sessionId: string, principal: string): void {
    this.known.set(sessionId, principal);
  }

  /**
   * True if this node already knows that the session belongs to the principal. Without `principal`: that it can read the
   * session.
   */
  isKnown(sessionId: string, principal?: string): boolean {
    const known = this.known.get(sessionId);
    return known !== undefined && (principal === undefined || known === principal);
  }

  /** Verifies that a principal may use a session. Rejects with `undecodable`. */
  async admit(sessionId: string, principal?: string): Promise<Admission> {
    if (this.isKnown(sessionId, principal)) return 'admitted';
    // If another principal is known, read the identity again: an id may be used again after its session has ended.
    const identity = await this.inner.identify(sessionId);
    if (identity === undefined) return 'gone';
    switch (this.verify(sessionId, identity)) {
      case 'valid':
        return principal === undefined || identity.principal === principal ? 'admitted' : 'denied';
      case 'forged':
        return 'gone';
      case 'unreadable':
        throw new AnynodeError(
          'undecodable',
          'This node cannot decode what is stored of the session',
        );
    }
  }

  verify(sessionId: string, { principal, seal }: Omit<SessionIdentity, 'owner'>) {
    if (this.known.get(sessionId) === principal) return 'valid';
    const context = { sessionId, kind: 'identity' } as const;
    const state = checkSeal(this.payloads, seal, principal, context, 'the record of a session');
    if (state === 'valid') this.note(sessionId, principal);
    return state;
  }
}

const SAYS: ReadonlySet<Operation['type']> = new Set([
  ...(['open', 'exchange', 'receive', 'append', 'claim', 'assign'] as const),
]);

/** True if an operation writes a message in its session, or makes this node the one that will. */
export function says({ type }: Operation): boolean {
  return SAYS.has(type);
}
