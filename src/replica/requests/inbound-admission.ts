/** How many bytes of a session may wait for its server. If none wait, one POST of any length is accepted. */
const MOST_BYTES = 8 * 1024 * 1024;

/**
 * Limits the messages of a session on this node that wait for the server and ask for no answer: notifications and responses
 * of the client.
 */
export class InboundAdmission {
  private bytes = 0;

  /**
   * Counts `bytes` as waiting until the returned function is called, when the messages are handed on. `behind` is the number
   * of bytes that were handed on before and that the server has not taken yet. Returns `undefined` if too much waits.
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
