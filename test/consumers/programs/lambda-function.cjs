// A function as AWS Lambda runs it. Its parent gives it events, and takes the results.
const { anynode, redisBackplane } = require('mcp-anynode');
const { lambdaHandler } = require('mcp-anynode/lambda');
const { buildServer } = require('./server.cjs');
const { settings } = require('./session.cjs');

const mcp = anynode({
  server: buildServer,
  backplane: redisBackplane(settings()),
  responseMode: 'json',
  leaseMs: 1000,
});
const handler = lambdaHandler(mcp);
process.on('message', async ({ event }) => {
  const context = { getRemainingTimeInMillis: () => 10_000 };
  process.send(await handler(event, context));
});
