import type { Backplane } from '../../../src/backplane/index.js';

/** A place where sessions are stored, empty at first. */
export interface Store {
  /** Returns another backplane object on this store, as another process would have. */
  backplane(): Backplane;
  /** Returns how many bytes a text takes in the store. Default: its bytes in UTF-8. */
  sizeOf?(text: string): number;
  /** Called when the test is over and all its nodes have left. */
  close(): Promise<void>;
}

/** Opens a store that no other test uses. Called once for each test. */
export type OpenStore = () => Promise<Store>;
