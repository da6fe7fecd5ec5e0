import { describe } from 'vitest';
import type { OpenStore } from '../suite/store.js';
import { describeBroadcasts } from './broadcasts.js';
import { describeTasks } from './tasks.js';

/** Declares the tests that a backplane with `sdkStores` has to pass. */
export function describeSdkStores(name: string, openStore: OpenStore): void {
  describe(`${name}: sdkStores`, () => {
    describeBroadcasts(openStore);
    describeTasks(openStore);
  });
}
