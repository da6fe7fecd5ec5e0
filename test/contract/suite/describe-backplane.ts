import { describe } from 'vitest';
import { describeCommits } from './commit.js';
import { describeEnds } from './ends.js';
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
 * puts two or more nodes on it.
 */
export function describeBackplane(name: string, openStore: OpenStore): void {
  describe(name, () => {
    describeSessions(openStore);
    describeCommits(openStore);
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
  });
}
