import { AnynodeError } from '../../protocol/errors.js';
import type { Operation, SessionIdentity, SessionStore } from '../backplane.js';
import { BoundedMap } from '../../protocol/bounded-map.js';
import type { Payloads } from './payloads.js';
import { checkSeal } from './seals.js';

/** So many sessions are known at a time; of others the identity is read once more. */
const KNOWN = 10_000;

/** - `denied`: the session is another principal's; - `gone`: there is no such session, or it was tampered with. */
export type Admission = 'admitted' | 'denied' | 'gone';

/**
 * The sessions that this node can read, each with its principal as a node with the codec stored it.
 *
 * What a node cannot read it must not write to. With other keys than the rest of the cluster it would acknowledge what
 * nobody can hear, and put messages into streams that no client gets past. And whose a session is, the backplane alone does
 * not decide: whoever can write to it could become any principal. So before a node says or shows anything in a session, it
 * has to have verified the seal of that session's principal once.
 */
export class ReadableSessions {
  /** By session: its principal. */
  private readonly known = new BoundedMap<string, string>(KNOWN);

  constructor(
    private readonly inner: SessionStore,
    private readonly payloads: Payloads,
  ) {}

  /** The principal, as this node has stored or verified it. `undefined`: it has not. */
  principalOf(sessionId: string): string | undefined {
    return this.known.get(sessionId);
  }

  /** The session's principal was verified, or sealed, here. */
  note(sessionId: string, principal: string): void {
    this.known.set(sessionId, principal);
  }

  /** Whether nothing has to be read to know that the session is this principal's (left out: that this node can read it). */
  isKnown(sessionId: string, principal?: string): boolean {
    const known = this.known.get(sessionId);
    return known !== undefined && (principal === undefined || known === principal);
  }

  /** Rejects with `undecodable`. */
  async admit(sessionId: string, principal?: string): Promise<Admission> {
    if (this.isKnown(sessionId, principal)) return 'admitted';
    // Once more, where another one is known: an id may be used again after its session has ended.
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
  ...(['open', 'receive', 'append', 'claim', 'assign'] as const),
]);

/** Whether an operation says something in its session, or takes it upon this node to. */
export function says({ type }: Operation): boolean {
  return SAYS.has(type);
}
