import type { Request, Response } from 'express';
import { memoryBackplane } from '../src/index.js';
import { startEmbeddedNode } from './embedded-node.js';

/**
 * Runs two nodes on which resumption can be tried by hand, with curl. README.md beside this file says how.
 * `POST /publish?text=…` on either node sends a line to every session, as a webhook or a job would. No call is running, so
 * the line goes to the session's GET stream. It waits in the log while no client listens.
 *
 * @example
 *     npx tsx demo/resumability.ts
 */
const shared = { backplane: memoryBackplane(), retryMs: 100 };

for (const port of [3001, 3002]) {
  const { mcp, app, url, stop } = await startEmbeddedNode(shared, port);

  app.post('/publish', async (req: Request, res: Response) => {
    const { text: data = 'nothing in particular' } = req.query;
    let told = 0;
    for await (const { id } of mcp.sessions.list()) {
      await mcp
        .session(id)
        .notify({ method: 'notifications/message', params: { level: 'info', data } });
      told++;
    }
    res.type('text/plain').send(`published to ${told} session(s)\n`);
  });

  process.once('SIGINT', () => void stop());
  console.log(`node ${mcp.nodeId}: ${url}`);
}
console.log('The curl lines are in demo/README.md. Ctrl-C ends it.');
