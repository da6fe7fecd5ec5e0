import express from 'express';
import { anynode, redisBackplane } from 'mcp-anynode';
import { expect, test } from 'vitest';
import { buildServer } from '../server.cjs';
import { serve, settings } from '../session.cjs';

test('serves a session', async () => {
  const nodes = [1, 2].map(() =>
    anynode({ server: buildServer, backplane: redisBackplane(settings()) }),
  );
  expect(await serve({ express, nodes })).toEqual(JSON.parse(process.env.EXPECTED));
});
