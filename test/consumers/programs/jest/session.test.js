const express = require('express');
const { anynode, redisBackplane } = require('mcp-anynode');
const { buildServer } = require('../server.cjs');
const { serve, settings } = require('../session.cjs');

test('serves a session', async () => {
  const nodes = [1, 2].map(() =>
    anynode({ server: buildServer, backplane: redisBackplane(settings()) }),
  );
  expect(await serve({ express, nodes })).toEqual(JSON.parse(process.env.EXPECTED));
});
