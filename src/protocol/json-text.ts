/** Characters that JSON allows in a string as they are, but that some clients take for the end of a line. */
const LINE_ENDS = /[\u0085\u2028\u2029]/g;

/**
 * JSON text in which no reader sees a second line. Some readers of server-sent events, and some of files with one JSON text
 * per line, split at line separators of Unicode, which stand in strings only, where JSON has an escape for each.
 */
export function onOneLine(json: string): string {
  return json.replace(LINE_ENDS, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}
