// The program that CommonJS consumers run, and that bundlers make one file of.
const express = require('express');
const { anynode, redisBackplane } = require('mcp-anynode');
const { buildServer } = require('./server.cjs');
const { serve, settings } = require('./session.cjs');

async function main() {
  const nodes = [1, 2].map(() =>
    anynode({ server: buildServer, backplane: redisBackplane(settings()) }),
  );
  console.log(JSON.stringify(await serve({ express, nodes })));
}

void main();
