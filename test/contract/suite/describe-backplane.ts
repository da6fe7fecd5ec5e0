import { describe } from 'vitest';
import { describeAudit } from './audit.js';
import { describeCommits } from './commit.js';
import { describeEnds } from './ends.js';
import { describeExchanges } from './exchanges.js';
import { describeHolders } from './holders.js';
import { describeLeases } from './leases.js';
import { describeLimits } from './limits.js';
import { describeLooks } from './looks.js';
import { describeNotes } from './notes.js';
import { describeNotify } from './notify.js';
import { describeOwners } from './owners.js';
import { describeRepeats } from './repeats.js';
import { describeReplicas } from './replicas.js';
import type { OpenStore } from './store.js';
import { describeSessions } from './sessions.js';
import { describeState } from './state.js';
import { describeStreams } from './streams.js';
import { describeShownOn } from './shown-on.js';

/**
 * Declares the tests that every backplane has to pass. `openStore` returns a store that no other test uses. Each test
 * puts two or more nodes on it. `hasAudit: false` leaves out the tests of the audit trail's outboxes, which a backplane need
 * not have.
 */
export function describeBackplane(
  name: string,
  openStore: OpenStore,
  { hasAudit = true }: { hasAudit?: boolean } = {},
): void {
  describe(name, () => {
    describeSessions(openStore);
    describeCommits(openStore);
    describeExchanges(openStore);
    describeRepeats(openStore);
    describeStreams(openStore);
    describeHolders(openStore);
    describeReplicas(openStore);
    describeOwners(openStore);
    describeState(openStore);
    describeNotes(openStore);
    describeNotify(openStore);
    describeLeases(openStore);
    describeLimits(openStore);
    describeLooks(openStore);
    describeEnds(openStore);
    describeShownOn(openStore);
    if (hasAudit) describeAudit(openStore);
  });
}
