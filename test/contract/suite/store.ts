import type { Backplane } from '../../../src/backplane/index.js';

/** One place where sessions are stored, empty at first. */
export interface Store {
  /** Returns a backplane object of its own on this store, as another process would have. */
  backplane(): Backplane;
  /** How many bytes a text takes there. Default: those of the text. */
  sizeOf?(text: string): number;
  /** Called when the test is over and all its nodes have left. */
  close(): Promise<void>;
}

/** Opens a store that no other test uses. Called once for each test. */
export type OpenStore = () => Promise<Store>;
