// A server of the SDK's v2, where v1 is not installed.
const assert = require('node:assert');
const { McpServer } = require('@modelcontextprotocol/server');
const express = require('express');
const { anynode, redisBackplane } = require('mcp-anynode');
const { z } = require('zod');
const { serve, settings } = require('./session.cjs');

function buildServer() {
  const server = new McpServer({ name: 'consumer', version: '1.0.0' });
  const inputSchema = z.object({ a: z.number(), b: z.number() });
  server.registerTool('add', { inputSchema }, ({ a, b }) => ({
    content: [{ type: 'text', text: String(a + b) }],
  }));
  return server;
}

async function main() {
  assert.throws(() => require('@modelcontextprotocol/sdk/types.js'), { code: 'MODULE_NOT_FOUND' });
  const nodes = [1, 2].map(() =>
    anynode({ server: buildServer, backplane: redisBackplane(settings()) }),
  );
  console.log(JSON.stringify(await serve({ express, nodes })));
}

void main();
