/** Text for a terminal. What comes out of sessions was written by strangers: nothing of it may move the cursor. */

/**
 * Characters that control a terminal, turn the direction of writing, or cannot be seen: controls, formats (zero-width ones
 * among them), separators of lines, fillers and variation selectors, and halves of characters.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu;

/** With an escape such as `\u202e` for each character that controls a terminal, turns the writing, or cannot be seen. */
export function plain(text: string): string {
  return text.replace(UNSEEN, escaped);
}

/** As JSON, with the same escapes, which JSON has as well: so it says exactly the same. */
export function json(value: unknown): string {
  return JSON.stringify(value).replace(UNSEEN, escaped);
}

const SHORT: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

function escaped(char: string): string {
  const short = SHORT[char];
  if (short !== undefined) return short;
  let text = '';
  for (let at = 0; at < char.length; at += 1) {
    text += `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`;
  }
  return text;
}

const NARROW = /^[ -~]*$/;
const NONE = /^[\p{Mn}\p{Me}\p{Cf}]$/u;
/** Letters and signs of East Asia, and emoji. Two regional indicators together are one flag. */
const WIDE =
  /^(?!\p{RI})[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{1b2ff}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]$/u;

function widthOfChar(char: string): number {
  if (NONE.test(char)) return 0;
  return WIDE.test(char) ? 2 : 1;
}

/** How many columns a plain text takes. */
export function widthOf(text: string): number {
  if (NARROW.test(text)) return text.length;
  let width = 0;
  for (const char of text) width += widthOfChar(char);
  return width;
}

/** Marks above and below a letter take no column: so many characters there may be for each. */
const MOST_IN_COLUMN = 8;

/** At most `width` columns; where something was cut off, the last one is an ellipsis. */
export function cut(given: string, width: number): string {
  const most = Math.max(0, width) * MOST_IN_COLUMN;
  const isWhole = given.length <= most;
  const text = isWhole ? given : given.slice(0, most);
  if (isWhole && widthOf(text) <= width) return text;
  let [kept, taken] = ['', 0];
  for (const char of text) {
    const more = widthOfChar(char);
    if (taken + more > width - 1) break;
    kept += char;
    taken += more;
  }
  return width < 1 ? '' : `${kept}…`;
}

/** Filled up with spaces to `width` columns. */
export function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)));
}

/** The two biggest units: `3d 4h`, `12m 5s`, `0.4s`. */
export function duration(ms: number): string {
  if (ms < 10_000) return `${(Math.max(0, ms) / 1000).toFixed(1)}s`;
  const seconds = Math.round(ms / 1000);
  const units = [
    ['d', 86_400],
    ['h', 3600],
    ['m', 60],
    ['s', 1],
  ] as const;
  const first = units.findIndex(([, size]) => seconds >= size);
  const parts: string[] = [];
  let left = seconds;
  for (const [unit, size] of units.slice(first, first + 2)) {
    const count = Math.floor(left / size);
    if (count > 0) parts.push(`${count}${unit}`);
    left -= count * size;
  }
  return parts.join(' ');
}

/** `950 B`, `12.3 kB`, `4.0 MB`. */
export function bytes(count: number): string {
  if (count < 1000) return `${Math.round(count)} B`;
  const units = ['kB', 'MB', 'GB', 'TB'];
  let value = count / 1000;
  let unit = 0;
  while (value >= 999.95 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(1)} ${units[unit] ?? ''}`;
}

/** In the local time zone: `2026-11-25 15:04:05`. */
export function dateTime(at: number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = new Date(at);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${clockTime(at).slice(0, 8)}`;
}

/** In the local time zone: `15:04:05.123`. */
export function clockTime(at: number): string {
  const date = new Date(at);
  const part = (value: number, digits = 2): string => String(value).padStart(digits, '0');
  const seconds = `${part(date.getSeconds())}.${part(date.getMilliseconds(), 3)}`;
  return `${part(date.getHours())}:${part(date.getMinutes())}:${seconds}`;
}
