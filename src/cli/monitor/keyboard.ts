/** The keys that the monitor knows. */
export type Key =
  | 'up'
  | 'down'
  | 'pageUp'
  | 'pageDown'
  | 'home'
  | 'end'
  | 'enter'
  | 'escape'
  | 'help'
  | 'quit'
  | 'interrupt';

/** What a terminal sends for each key. Two letters stand for the arrows, as in `less`. */
const KEYS: Record<string, Key> = {
  ...{ '\u001b[A': 'up', '\u001bOA': 'up', k: 'up' },
  ...{ '\u001b[B': 'down', '\u001bOB': 'down', j: 'down' },
  ...{ '\u001b[5~': 'pageUp', '\u001b[6~': 'pageDown', ' ': 'pageDown' },
  ...{ '\u001b[H': 'home', '\u001bOH': 'home', '\u001b[1~': 'home', g: 'home' },
  ...{ '\u001b[F': 'end', '\u001bOF': 'end', '\u001b[4~': 'end', G: 'end' },
  ...{ '\r': 'enter', '\n': 'enter', '\u001b': 'escape', '\u001b[D': 'escape' },
  ...{ '?': 'help', q: 'quit', Q: 'quit' },
  // In raw mode the terminal does not turn this key into a signal.
  '\u0003': 'interrupt',
};

/** Splits what a terminal has sent into keys. A terminal sends several characters for some keys. */
export function keysIn(text: string): Key[] {
  // eslint-disable-next-line no-control-regex -- keys begin with a control character
  const sequences = text.match(/\u001b(?:\[[\d;]*[A-Za-z~]|O[A-Za-z])?|[^]/g) ?? [];
  return sequences.flatMap((sequence) => KEYS[sequence] ?? []);
}

/** Calls `press` for each key that is pressed. Returns a function that stops it. Does nothing if the input is no terminal. */
export function onKeys(press: (key: Key) => void): () => void {
  const { stdin } = process;
  if (!stdin.isTTY) return () => undefined;
  const hear = (data: Buffer): void => keysIn(data.toString('latin1')).forEach(press);
  stdin.setRawMode(true);
  stdin.on('data', hear);
  stdin.resume();
  return () => {
    stdin.removeListener('data', hear);
    stdin.pause();
    stdin.setRawMode(false);
  };
}
