/** What a client has sent that asks for no answer, and that its server has not taken yet, of one session on one node. */

/** One POST is let in all the same, whatever its length, where nothing waits. */
const MOST_BYTES = 8 * 1024 * 1024;

export class InboundAdmission {
  private bytes = 0;

  /**
   * Lets messages in until the returned function is called, which hands them on; `behind` is what waits for the server
   * after that. Returns `undefined` if too much waits.
   */
  take(bytes: number, behind: number): (() => void) | undefined {
    const waiting = this.bytes + behind;
    if (waiting > 0 && waiting + bytes > MOST_BYTES) return undefined;
    this.bytes += bytes;
    let isIn = true;
    return () => {
      if (isIn) this.bytes -= bytes;
      isIn = false;
    };
  }
}
