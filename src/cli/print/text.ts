/** Formats text for a terminal. Strangers wrote the texts of sessions, so these must not be able to move the cursor. */

/**
 * Characters that control a terminal, turn the direction of writing, or cannot be seen: control and format characters
 * (also zero-width ones), line separators, fillers, variation selectors, and halves of surrogate pairs.
 */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Default_Ignorable_Code_Point}]/gu;

/** Replaces each character that controls a terminal, turns the writing, or cannot be seen by an escape such as `\u202e`. */
export function plain(text: string): string {
  return text.replace(UNSEEN, escaped);
}

/** Formats a value as JSON with the same escapes. They are escapes of JSON too, so the meaning does not change. */
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
/** Characters of East Asia, and emoji. Regional indicators are excluded: two of them together are one flag. */
const WIDE =
  /^(?!\p{RI})[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97c\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{16fe0}-\u{1b2ff}\u{20000}-\u{3fffd}\p{Emoji_Presentation}]$/u;

function widthOfChar(char: string): number {
  if (NONE.test(char)) return 0;
  return WIDE.test(char) ? 2 : 1;
}

/** Returns how many columns a text takes. The text must be {@link plain}. */
export function widthOf(text: string): number {
  if (NARROW.test(text)) return text.length;
  let width = 0;
  for (const char of text) width += widthOfChar(char);
  return width;
}

/** How many characters one column may have. Marks above and below a letter take no column. */
const MOST_IN_COLUMN = 8;

/** Cuts a text to `width` columns. If something was cut off, the last column is an ellipsis. */
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

/** Fills a text up with spaces to `width` columns. */
export function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)));
}

/** Formats a duration in its two biggest units: `3d 4h`, `12m 5s`, `0.4s`. */
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

/** Formats a size: `950 B`, `12.3 kB`, `4.0 MB`. */
/** Returns a number with its noun: `1 node`, `2 nodes`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

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

/** Formats a time in the local time zone: `2026-11-25 15:04:05`. */
export function dateTime(at: number): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  const date = new Date(at);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${clockTime(at).slice(0, 8)}`;
}

/** Formats the time of day in the local time zone: `15:04:05.123`. */
export function clockTime(at: number): string {
  const date = new Date(at);
  const part = (value: number, digits = 2): string => String(value).padStart(digits, '0');
  const seconds = `${part(date.getSeconds())}.${part(date.getMilliseconds(), 3)}`;
  return `${part(date.getHours())}:${part(date.getMinutes())}:${seconds}`;
}
