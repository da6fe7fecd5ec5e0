import type { EndpointResponse } from './response/endpoint-response.js';
import type { ResponseClosing } from './response/response-closing.js';
import { isGone } from './response/response.js';

/**
 * Bounds how many connections of each session wait for messages on this node. A connection counts before its response begins.
 * Connections are counted by session and caller, so a caller cannot use up the connections of another caller's session.
 */
export class ConnectionSlots {
  private readonly counts = new Map<string, number>();

  constructor(private readonly most: number) {}

  /** Takes a slot until the response is closed. Returns false if none is left. */
  take(
    sessionId: string,
    principal: string,
    res: EndpointResponse,
    closing: ResponseClosing,
  ): boolean {
    const key = `${sessionId} ${principal}`;
    const count = this.counts.get(key) ?? 0;
    if (count >= this.most) return false;
    this.counts.set(key, count + 1);
    // A connection that is closed already does not emit `close` again, so give its slot back now.
    if (isGone(res)) this.giveBack(key);
    else closing.add(() => this.giveBack(key));
    return true;
  }

  private giveBack(key: string): void {
    const left = (this.counts.get(key) ?? 1) - 1;
    if (left === 0) this.counts.delete(key);
    else this.counts.set(key, left);
  }
}
