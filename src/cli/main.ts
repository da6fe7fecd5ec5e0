#!/usr/bin/env node
import { CommanderError } from 'commander';
import { CommandError, EXIT, exitCodeOf } from './exit.js';
import { buildProgram } from './program.js';
import { plain } from './print/text.js';

// A closed pipe (`| head`) is no error: the reader of the output has seen enough.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? EXIT.ok : EXIT.failed);
  });
}

try {
  await buildProgram().parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has already printed the text of the error.
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else {
    const text = error instanceof Error ? error.message : String(error);
    const said = plain(text.replace(/^mcp-anynode: /, ''));
    const more = error instanceof CommandError ? error.more.map((line) => `${plain(line)}\n`) : [];
    if (said !== '') process.stderr.write(`mcp-anynode: ${said}\n${more.join('')}`);
    process.exitCode = exitCodeOf(error);
  }
}

// Exit once everything is printed. Without this the process would go on for two seconds: ioredis keeps a timer when a
// connection is closed before it was made.
process.stdout.write('', () => process.stderr.write('', () => process.exit()));
