/** Parses and checks the values of options. */
import { checkTraceUrl } from '../monitor/http/incoming.js';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { asOption, CommandError, EXIT } from './exit.js';

export function wholeNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value) && value > 0) return value;
  throw new InvalidArgumentError('It must be a whole number of at least 1.');
}

export function portNumber(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && value <= 65_535) return value;
  throw new InvalidArgumentError('It must be a port number from 0 to 65535.');
}

/** The port of metrics has to be known to what scrapes them, so it cannot be a free one. */
export function metricsPort(text: string): number {
  const value = portNumber(text);
  if (value > 0) return value;
  throw new InvalidArgumentError('It must be a port number from 1 to 65535.');
}

export function httpUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw new InvalidArgumentError('It must be a URL such as http://localhost:4318.');
}

/** Parses seconds such as `2` or `0.5`, and returns milliseconds. */
export function seconds(text: string): number {
  const value = Number(text);
  if (/^\d+(\.\d+)?$/.test(text) && value >= 0.1 && value <= 3600) return value * 1000;
  throw new InvalidArgumentError('It must be a number of seconds from 0.1 to 3600.');
}

/** Collects the values of an option that is given several times, or once with commas. */
export function listOf(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), ...text.split(',').filter((value) => value !== '')];
}

/** Throws if one of these options is given without the option that it belongs to. It would do nothing. */
export function refuseWithout(needed: string, options: string[], command: Command): void {
  if (command.getOptionValue(needed) !== undefined) return;
  const given = options.find((name) => command.getOptionValueSource(name) === 'cli');
  if (given === undefined) return;
  throw new CommandError(EXIT.usage, `${asOption(given)} needs ${asOption(needed)}`);
}

function headerName(text: string): string {
  if (/^[\w!#$%&'*+.^`|~-]+$/.test(text)) return text;
  throw new InvalidArgumentError('It must be the name of an HTTP header.');
}

/** Headers that prove who is calling. Their values change when they are refreshed, and must not be stored. */
const CREDENTIALS = new Set(['authorization', 'proxy-authorization', 'cookie']);

export function principalHeader(text: string): string {
  const name = headerName(text);
  if (!CREDENTIALS.has(name.toLowerCase())) return name;
  throw new InvalidArgumentError(
    'It must be a header that names the caller, not one that proves who it is: let the proxy in front put the id of the user there.',
  );
}

export function urlPath(text: string): string {
  if (/^\/[\w./~-]*$/.test(text)) return text;
  throw new InvalidArgumentError('It must be a path such as /mcp.');
}

/** Parses the address of a trace, with `{traceId}` where its id belongs. */
export function traceUrl(text: string): string {
  try {
    checkTraceUrl(text);
  } catch {
    throw new InvalidArgumentError(
      'It must be an http or https URL with {traceId} in it, as in https://tempo.example/trace/{traceId}.',
    );
  }
  return text;
}
