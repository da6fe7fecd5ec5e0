import { createRequire } from 'node:module';
import type express from 'express';
import type { RequestHandler } from 'express';
import { expect, it } from 'vitest';
import { rawClient, startNode } from '../integration/support/serve.js';

// The body parsers of Express 4 leave `{}` behind for a content type that is not theirs. Once something in front had
// waited, `req.complete` was true though nobody had read the body, and `{}` was taken for what the client had sent.
it('a body that a parser of another type passed by is read here, however late', async () => {
  // It comes without types; what is used of it here is the same in both.
  const { urlencoded } = createRequire(import.meta.url)('express4') as typeof express;
  const later: RequestHandler = (_req, _res, next) => void setTimeout(next, 20);
  const before = [urlencoded({ extended: true }), later];
  const { url } = await startNode({ mount: { express: 4, before } });
  const client = rawClient();
  expect(await client.initialize(url)).toMatchObject({ result: {} });
});
