/** Counts what keeps a session in use on this node besides its running requests. */
export class SessionUse {
  private pins = 0;
  private holds = 0;

  /** True while a step of a request is under way. */
  get isPinned(): boolean {
    return this.pins > 0;
  }

  /** True while work goes on that is no call, such as a task. */
  get isHeld(): boolean {
    return this.holds > 0;
  }

  /** Returns a function that ends the pin, and calls `onEnd`. Further calls of it do nothing. */
  pin(onEnd: () => void): () => void {
    this.pins += 1;
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.pins -= 1;
      onEnd();
    };
  }

  /** Returns a function that ends the hold, and calls `onEnd`. The caller must call that function once. */
  hold(onEnd: () => void): () => void {
    this.holds += 1;
    return () => {
      this.holds -= 1;
      onEnd();
    };
  }
}
