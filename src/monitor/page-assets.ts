/** The files of the page. In the package this module has their texts (see scripts/build.mjs), so that the package reads no file. */
import { readFileSync } from 'node:fs';

export interface PageAssets {
  html: string;
  js: string;
  css: string;
}

let assets: PageAssets | undefined;

export function pageAssets(): PageAssets {
  assets ??= { html: read('index.html'), js: read('page.js'), css: read('page.css') };
  return assets;
}

function read(name: string): string {
  return readFileSync(new URL(`./page/built/${name}`, import.meta.url), 'utf8');
}
