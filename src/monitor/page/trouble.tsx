import { clock } from './format.js';

/** Why what is shown is not renewed at the moment, and since when, by the clock of this machine. */
export interface Trouble {
  text: string;
  since: number;
}

/** Returns the trouble after a further message. `text`: what is wrong, or `undefined` if nothing is. */
export function nextTrouble(
  before: Trouble | undefined,
  text: string | undefined,
): Trouble | undefined {
  if (text === undefined) return undefined;
  return { text, since: before?.since ?? Date.now() };
}

/** Says that what is shown is old. */
export function TroubleBanner({ trouble: { text, since } }: { trouble: Trouble }) {
  return (
    <p class="banner bad" role="alert">
      {text}, since {clock(since, false)}. What is shown is from before, and goes on by itself.
    </p>
  );
}
