import { AnynodeError } from '../errors.js';
import type { Operation, SessionRecord } from './backplane.js';

/** So many sessions are known at a time; of others the record is read once more. */
const KNOWN = 10_000;

/**
 * What a node cannot read it must not write to. With other keys than the rest of the cluster it would acknowledge what
 * nobody can hear, and put messages into streams that no client gets past. So before a node says anything in a session, it
 * has to have decoded that session's record once.
 */
export class ReadableSessions {
  private readonly known = new Set<string>();

  /** `load` returns records as far as they can be decoded. */
  constructor(private readonly load: (sessionId: string) => Promise<SessionRecord | undefined>) {}

  /** Its record was decoded, or encoded, here. */
  note(sessionId: string): void {
    if (this.known.has(sessionId)) return;
    for (const oldest of this.known) {
      if (this.known.size < KNOWN) break;
      this.known.delete(oldest);
    }
    this.known.add(sessionId);
  }

  /** Rejects with `undecodable`. A session that is gone is for what comes next to find out. */
  async check(sessionId: string): Promise<void> {
    if (this.known.has(sessionId)) return;
    const record = await this.load(sessionId);
    if (record?.unreadable !== true) return;
    throw new AnynodeError('undecodable', 'This node cannot decode what is stored of the session');
  }
}

const SAYS: ReadonlySet<Operation['type']> = new Set([
  ...(['open', 'receive', 'append', 'claim', 'assign'] as const),
]);

/** Whether an operation says something in its session, or takes it upon this node to. */
export function says({ type }: Operation): boolean {
  return SAYS.has(type);
}
