/** A server of FastMCP (TypeScript), as its documentation has it: it listens by itself, and knows nothing of nodes. */
import { FastMCP } from 'fastmcp';
import { z } from 'zod';

const server = new FastMCP({ name: 'weather', version: '1.0.0' });

server.addTool({
  name: 'add',
  description: 'Adds two numbers',
  parameters: z.object({ a: z.number(), b: z.number() }),
  execute: ({ a, b }) => Promise.resolve(String(a + b)),
});

server.addTool({
  name: 'report',
  description: 'Logs a line',
  parameters: z.object({ line: z.string() }),
  execute: ({ line }, { log }) => {
    log.info(line);
    return Promise.resolve('reported');
  },
});

server.addTool({
  name: 'ask',
  description: 'Asks the user for a name',
  execute: async (_args, { elicit }) => {
    const { action, content } = await elicit({
      message: 'Your name?',
      requestedSchema: { type: 'object', properties: { name: { type: 'string' } } },
    });
    return `${action} ${String(content?.name)}`;
  },
});

const port = Number(process.env.PORT);
await server.start({ transportType: 'httpStream', httpStream: { port, host: '127.0.0.1' } });

process.send?.({ ready: true, port });
process.on('disconnect', () => process.exit(0));
