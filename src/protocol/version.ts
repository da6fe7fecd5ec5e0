import { readFileSync } from 'node:fs';

/** Of this package; empty where it cannot be told, as when a bundler has put its code elsewhere. */
export const VERSION = version();

function version(): string {
  try {
    const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
    const manifest = JSON.parse(text) as { name?: unknown; version?: unknown };
    return manifest.name === 'mcp-anynode' ? String(manifest.version) : '';
  } catch {
    return '';
  }
}
