import { InvalidArgumentError } from 'commander';

/** Values of options, checked where they are read. */
export function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('It has to be a whole number of at least 1.');
}

export function portNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= 65_535) return value;
  throw new InvalidArgumentError('It has to be a port.');
}

/** `2`, `0.5`: as milliseconds. */
export function seconds(text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value >= 0.1 && value <= 3600) return value * 1000;
  throw new InvalidArgumentError('It has to be a number of seconds from 0.1 to 3600.');
}

/** May be given several times, or once with commas. */
export function listOf(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), ...text.split(',').filter((value) => value !== '')];
}

function headerName(text: string): string {
  if (/^[\w!#$%&'*+.^`|~-]+$/.test(text)) return text;
  throw new InvalidArgumentError('It has to be the name of a header.');
}

/** What authenticates a caller changes when it is refreshed, and is nothing to be stored. */
const CREDENTIALS = new Set(['authorization', 'proxy-authorization', 'cookie']);

export function principalHeader(text: string): string {
  const name = headerName(text);
  if (!CREDENTIALS.has(name.toLowerCase())) return name;
  throw new InvalidArgumentError(
    'It has to say who is calling, and not be what proves it: let what is in front put an id of the user there.',
  );
}

export function urlPath(text: string): string {
  if (/^\/[\w./~-]*$/.test(text)) return text;
  throw new InvalidArgumentError('It has to be a path such as /mcp.');
}
