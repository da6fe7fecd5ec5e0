import type { Response } from 'express';
import type { ResponseClosing } from './response/response-closing.js';
import { isGone } from './response/response.js';

/**
 * How many connections of each session wait for messages on this node, whether they are answered already or not.
 * Counted by session and caller, so that nobody can take up the place of another one's session.
 */
export class ConnectionSlots {
  private readonly taken = new Map<string, number>();

  constructor(private readonly most: number) {}

  /** Until the response is closed. `false`: there is none left. */
  take(sessionId: string, principal: string, res: Response, closing: ResponseClosing): boolean {
    const key = `${sessionId} ${principal}`;
    const taken = this.taken.get(key) ?? 0;
    if (taken >= this.most) return false;
    this.taken.set(key, taken + 1);
    // A client that has gone before now will not close its connection again.
    if (isGone(res)) this.giveBack(key);
    else closing.add(() => this.giveBack(key));
    return true;
  }

  private giveBack(key: string): void {
    const left = (this.taken.get(key) ?? 1) - 1;
    if (left === 0) this.taken.delete(key);
    else this.taken.set(key, left);
  }
}
