#!/usr/bin/env node
import { CommanderError } from 'commander';
import { EXIT, exitCodeOf } from './exit.js';
import { buildProgram } from './program.js';
import { plain } from './print/text.js';

// Whoever read our output has seen enough (`| head`).
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed);
  });
}

try {
  await buildProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Its text was printed already.
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else {
    const text = error instanceof Error ? error.message : String(error);
    const said = plain(text.replace(/^mcp-anynode: /, ''));
    if (said !== '') process.stderr.write(`mcp-anynode: ${said}\n`);
    process.exitCode = exitCodeOf(error);
  }
}

// When all is printed. ioredis keeps a timer for two seconds when a connection is ended that never was made.
process.stdout.write('', () => process.stderr.write('', () => process.exit()));
