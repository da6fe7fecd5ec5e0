// A gateway in front of two functions. As on AWS Lambda, a function stands still whenever it has no event, and loses its lease.
const { fork } = require('node:child_process');
const { once } = require('node:events');
const { createServer } = require('node:http');
const { text } = require('node:stream/consumers');
const { setTimeout: sleep } = require('node:timers/promises');
const { play } = require('./session.cjs');

async function main() {
  const functions = [1, 2].map(() => fork(`${__dirname}/lambda-function.cjs`));
  let calls = 0;
  const gateway = createServer(async (req, res) => {
    const body = await text(req);
    const http = { method: req.method, sourceIp: '203.0.113.7' };
    const event = { rawPath: req.url, headers: req.headers, requestContext: { http }, body };
    const called = functions[calls++ % 2];
    // Longer than the lease.
    if (calls === 3) await sleep(2500);
    called.kill('SIGCONT');
    called.send({ event });
    const [result] = await once(called, 'message');
    called.kill('SIGSTOP');
    res.writeHead(result.statusCode, result.headers).end(result.body);
  }).listen(0, '127.0.0.1');
  await once(gateway, 'listening');
  try {
    console.log(JSON.stringify(await play(`http://127.0.0.1:${gateway.address().port}/mcp`)));
  } finally {
    for (const each of functions) each.kill('SIGKILL');
    gateway.close();
    gateway.closeAllConnections();
  }
}

void main();
