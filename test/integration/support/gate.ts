/** A promise that the test resolves. */
export interface Gate {
  opened: Promise<void>;
  open: () => void;
}

export function newGate(): Gate {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}
