// Nodes in front of a server at a URL, where no SDK is installed.
const assert = require('node:assert');
const express = require('express');
const { anynode, redisBackplane } = require('mcp-anynode');
const { serve, settings } = require('./session.cjs');

async function main() {
  for (const name of ['sdk/types.js', 'server']) {
    assert.throws(() => require(`@modelcontextprotocol/${name}`), { code: 'MODULE_NOT_FOUND' });
  }
  const upstream = process.env.UPSTREAM;
  const nodes = [1, 2].map(() => anynode({ upstream, backplane: redisBackplane(settings()) }));
  console.log(JSON.stringify(await serve({ express, nodes })));
}

void main();
