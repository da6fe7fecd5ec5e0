import express from 'express';
import { anynode, redisBackplane, type Anynode, type ServerLike } from 'mcp-anynode';
import { aesGcmCodec } from 'mcp-anynode/codec';

const { buildServer } = require('../server.cjs') as { buildServer: () => ServerLike };
const { serve, settings } = require('../session.cjs') as {
  serve: (given: { express: typeof import('express'); nodes: Anynode[] }) => Promise<object>;
  settings: () => { redis: string; prefix: string };
};

async function main(): Promise<void> {
  const codec = aesGcmCodec({ keys: { k1: Buffer.alloc(32) }, current: 'k1' });
  const nodes = [1, 2].map(() =>
    anynode({ server: buildServer, codec, backplane: redisBackplane(settings()) }),
  );
  console.log(JSON.stringify(await serve({ express, nodes })));
}

void main();
