import type { Mark } from '../../../timeline/picture.js';
import { Glyph } from './marks.js';

const OUTCOMES = [
  ['ok', 'answered'],
  ['tool_error', 'the tool failed'],
  ['error', 'error'],
  ['lost', 'lost with its node'],
  ['cancelled', 'cancelled'],
  ['pending', 'still runs'],
];

/** The colours of the bars. */
export function Colours() {
  return (
    <ul class="legend" aria-label="Colours">
      {OUTCOMES.map(([outcome, name]) => (
        <li key={outcome}>
          <span class={`swatch ${outcome}`} aria-hidden="true" />
          {name}
        </li>
      ))}
    </ul>
  );
}

const MARKS: [Omit<Mark, 'key' | 'at'>, string][] = [
  [{ kind: 'message', direction: 'out' }, 'message to the client'],
  [{ kind: 'message', direction: 'in' }, 'message from the client'],
  [{ kind: 'message', direction: 'out', shownBy: null }, 'message that waits for the client'],
  [{ kind: 'created' }, 'session created, initialized'],
  [{ kind: 'cut' }, 'connection gone'],
  [{ kind: 'resumed' }, 'client is back, or a request runs again'],
  [{ kind: 'cancelled' }, 'cancelled, or session ended'],
  [{ kind: 'died' }, 'node dead, or its request ended'],
  [{ kind: 'owner' }, 'another node owns the session'],
];

const LINES = [
  ['get', 'connection for messages at any time (GET)'],
  ['post', 'connection of a call (POST)'],
  ['way', 'way of a message between lanes'],
  ['gap', 'time without events, drawn short'],
];

/** What the marks and lines of the picture mean. */
export function Legend() {
  return (
    <details class="key">
      <summary>What the marks and lines mean</summary>
      <ul class="legend" aria-label="Marks">
        {MARKS.map(([mark, name]) => (
          <li key={name}>
            <svg width="18" height="18" viewBox="0 0 18 18" aria-hidden="true">
              <g class={`mark ${mark.kind} ${mark.shownBy === null ? 'waits' : ''}`}>
                <Glyph mark={mark} x={9} y={9} />
              </g>
            </svg>
            {name}
          </li>
        ))}
      </ul>
      <ul class="legend" aria-label="Lines">
        {LINES.map(([line, name]) => (
          <li key={line}>
            <span class={`line ${line}`} aria-hidden="true" />
            {name}
          </li>
        ))}
      </ul>
      <p class="hint">
        A bar in the lane of a node is a request with its answer, and a small bar in it is a
        question to the client. The handler&apos;s lane says on which node the request ran, and for
        how long.
      </p>
    </details>
  );
}
