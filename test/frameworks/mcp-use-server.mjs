/**
 * A server of mcp-use (TypeScript), as its documentation has it: it listens by itself, and knows nothing of nodes. For
 * `try.ts`, from a folder where mcp-use is installed (with NODE_ENV=production): it is 500 MB, and no dependency here.
 */
import { setTimeout as after } from 'node:timers/promises';
import { MCPServer, text } from 'mcp-use/server';
import { z } from 'zod';

const server = new MCPServer({ name: 'weather', version: '1.0.0' });

server.tool(
  {
    name: 'add',
    description: 'Adds two numbers',
    schema: z.object({ a: z.number(), b: z.number() }),
  },
  ({ a, b }) => Promise.resolve(text(String(a + b))),
);

server.tool(
  { name: 'report', description: 'Logs a line', schema: z.object({ line: z.string() }) },
  async ({ line }, { log }) => {
    await log('info', line);
    return text('reported');
  },
);

server.tool(
  {
    name: 'count',
    description: 'Counts slowly, and reports its progress',
    schema: z.object({ to: z.number() }),
  },
  async ({ to }, { reportProgress }) => {
    for (let number = 1; number <= to; number += 1) {
      await reportProgress?.(number, to);
      await after(100);
    }
    return text('counted');
  },
);

server.tool(
  { name: 'ask', description: 'Asks the user for a name', schema: z.object({}) },
  async (_args, { elicit }) => {
    const { action, content } = await elicit('Your name?', z.object({ name: z.string() }));
    return text(`${action} ${content?.name}`);
  },
);

server.tool(
  {
    name: 'complete',
    description: "Has the client's model complete a text",
    schema: z.object({ text: z.string() }),
  },
  async (args, { sample }) => {
    const { content } = await sample(args.text, { maxTokens: 10 });
    return text(content.text);
  },
);

await server.listen(Number(process.env.PORT));
