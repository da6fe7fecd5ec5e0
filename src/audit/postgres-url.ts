/** Returns whether a text is the URL of a database, and not the path of a directory. */
export function isPostgresUrl(text: string): boolean {
  return /^postgres(?:ql)?:\/\//.test(text);
}
