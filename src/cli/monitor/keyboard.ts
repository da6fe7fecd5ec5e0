const INTERRUPT = '\u0003';

/** Calls a handler for each key that is pressed. Returns a function that stops it. Does nothing if the input is no terminal. */
export function onKeys(handlers: { quit(): void; interrupt(): void }): () => void {
  const { stdin } = process;
  if (!stdin.isTTY) return () => undefined;
  const hear = (data: Buffer): void => {
    for (const key of data.toString('latin1')) {
      if (key === 'q' || key === 'Q') handlers.quit();
      // In raw mode the terminal does not turn this key into a signal.
      if (key === INTERRUPT) handlers.interrupt();
    }
  };
  stdin.setRawMode(true);
  stdin.on('data', hear);
  stdin.resume();
  return () => {
    stdin.removeListener('data', hear);
    stdin.pause();
    stdin.setRawMode(false);
  };
}
