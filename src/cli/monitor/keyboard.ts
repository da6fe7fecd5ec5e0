const INTERRUPT = '\u0003';

/** Hears keys that are pressed, one by one. Returns how to stop. Does nothing where input is no terminal. */
export function onKeys(handlers: { quit(): void; interrupt(): void }): () => void {
  const { stdin } = process;
  if (!stdin.isTTY) return () => undefined;
  const hear = (data: Buffer): void => {
    for (const key of data.toString('latin1')) {
      if (key === 'q' || key === 'Q') handlers.quit();
      // In raw mode the terminal does not make a signal of it.
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
