import { createHash } from 'node:crypto';
import { pageAssets } from './page-assets.js';
import type { OfflineData } from './wire.js';

/** Makes one HTML file of the page and its data. It asks for nothing, and its policy lets nothing else run in it. */
export function htmlFile(data: OfflineData): string {
  const { js, css } = pageAssets();
  const policy = [
    ...["default-src 'none'", `script-src '${hashOf(js)}'`, `style-src '${hashOf(css)}'`],
    ...['img-src data:', "base-uri 'none'", "form-action 'none'"],
  ].join('; ');
  return [
    '<!doctype html><html lang="en"><head><meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">',
    `<title>mcp-anynode session</title><style>${css}</style></head><body><div id="app"></div>`,
    // Nothing in a JSON text needs these characters as they are, and without them it cannot end the element.
    `<script type="application/json" id="data">${escaped(JSON.stringify(data))}</script>`,
    `<script type="module">${js}</script></body></html>`,
  ].join('\n');
}

function hashOf(text: string): string {
  return `sha256-${createHash('sha256').update(text, 'utf8').digest('base64')}`;
}

function escaped(json: string): string {
  return json
    .replace(/</g, '\\u003c')
    .replace(/>/g, '\\u003e')
    .replace(/&/g, '\\u0026')
    .replace(/\u2028/g, '\\u2028')
    .replace(/\u2029/g, '\\u2029');
}
