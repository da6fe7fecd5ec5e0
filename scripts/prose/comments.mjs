/**
 * Returns the comments of a TypeScript or Lua file as Markdown. Each comment stays on its lines, so that findings have the
 * right line. Comments at the end of a line of code are left out.
 */
export function commentsOf(code) {
  let inBlock = false;
  const lines = code.split('\n').map((line) => {
    const opens = !inBlock && /^\s*\/\*/.test(line);
    const closes = (inBlock || opens) && line.includes('*/');
    const isComment = inBlock || opens || /^\s*(\/\/|--)/.test(line);
    inBlock = (inBlock || opens) && !closes;
    // Scripts list keys and arguments in tables, and include other files.
    const isData = /^\s*(\/[/*] eslint-|--(-| {2}| (KEYS|ARGV)))/.test(line);
    return isComment && !isData
      ? line.replace(/^\s*(\/\*\*?|\/\/|--|\*(?!\/))? ?/, '').replace(/\s*\*\/.*$/, '')
      : '';
  });
  return lines
    .join('\n')
    .replace(/\{@link (\S+?)\}/g, '`$1`')
    .replace(/^@param \S+/gm, '')
    .replace(/^@\w+/gm, '');
}
