import { memoryBackplane } from '../src/index.js';
import { startEmbeddedNode } from './embedded-node.js';
import { startRoundRobin } from './round-robin.js';
import { runStory } from './story.js';

/**
 * Plays the story on two nodes in this one process: no Redis, no nginx, nothing to install. The nodes share nothing but the
 * backplane, so what they do for each other is what two processes do over Redis.
 *
 * @example
 *     npm run demo
 */
const shared = { backplane: memoryBackplane(), retryMs: 100 };
const nodes = [await startEmbeddedNode(shared), await startEmbeddedNode(shared)];
const proxy = await startRoundRobin(nodes.map(({ port }) => port));

console.log('Two nodes in one process, a shared memory backplane, plain round robin:\n');
for (const [index, { url, mcp }] of nodes.entries()) {
  console.log(`  ${'AB'.charAt(index)}      ${url}  (node ${mcp.nodeId})`);
}
console.log(`  proxy  ${proxy.url}/mcp  (the one URL that the client knows)\n`);

const { ok, steps } = await runStory({
  url: `${proxy.url}/mcp`,
  nodeUrls: nodes.map(({ url }) => url),
  print: console.log,
});
console.log(
  ok ? `\nAll ${steps.length} steps hold.` : '\nThe story broke off at the step marked ✘.',
);

await proxy.stop();
for (const node of nodes) await node.stop();
process.exitCode = ok ? 0 : 1;
