import { describe } from 'vitest';
import type { OpenStore } from '../suite/store.js';
import { describeBroadcasts } from './broadcasts.js';
import { describeTasks } from './tasks.js';

/** What a backplane has to do that has room for the SDK's stores. */
export function describeSdkStores(name: string, openStore: OpenStore): void {
  describe(`${name}: sdkStores`, () => {
    describeBroadcasts(openStore);
    describeTasks(openStore);
  });
}
