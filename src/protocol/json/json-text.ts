/** Characters that JSON allows in a string without an escape, but that some clients treat as the end of a line. */
const LINE_ENDS = /[\u0085\u2028\u2029]/g;

/**
 * Escapes the line separators of Unicode in a JSON text. Some readers of server-sent events and of JSON Lines files split
 * lines there. In JSON these characters occur in strings only, where an escape means the same.
 */
export function onOneLine(json: string): string {
  return json.replace(LINE_ENDS, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
