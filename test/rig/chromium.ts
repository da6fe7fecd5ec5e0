import type { Browser } from 'playwright-core';
import { chromium } from 'playwright-core';
import { findBinary, requireBinary } from './binaries.js';

/** Starts the Chromium of this machine, without a window. It sends no request to other machines by itself. */
export function startChromium(): Promise<Browser> {
  const args = [
    ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ...['--no-first-run', '--disable-gpu', '--disable-dev-shm-usage', '--force-color-profile=srgb'],
  ];
  return chromium.launch({
    executablePath:
      findBinary('chromium-browser') ?? findBinary('google-chrome') ?? requireBinary('chromium'),
    // Chromium refuses its sandbox to root, who runs the tests in containers.
    args: process.getuid?.() === 0 ? [...args, '--no-sandbox'] : args,
  });
}
