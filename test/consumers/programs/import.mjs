// The same as ES modules.
import express from 'express';
import { anynode, redisBackplane } from 'mcp-anynode';
import { buildServer } from './server.cjs';
import { serve, settings } from './session.cjs';

const nodes = [1, 2].map(() =>
  anynode({ server: buildServer, backplane: redisBackplane(settings()) }),
);
console.log(JSON.stringify(await serve({ express, nodes })));
