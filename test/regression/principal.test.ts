import { expect, it } from 'vitest';
import { openSession, rawClient, startNode } from '../integration/support/serve.js';
import type { AnynodeOptions } from '../../src/index.js';
import { request } from '../support/mcp-http.js';

/** Opens Alice's session, and returns it as Mallory sees it. */
async function asMallory(principal: AnynodeOptions['principal']) {
  const { url } = await startNode({ principal });
  const { client: alice } = await openSession(url, { headers: { 'x-user': 'alice' } });
  const mallory = rawClient({ headers: { 'x-user': 'mallory' } });
  mallory.sessionId = alice.sessionId;
  mallory.protocolVersion = alice.protocolVersion;
  return { url, mallory };
}

// No message, so none that was denied: 202 told the stranger that there is such a session, and kept it alive.
it('an empty batch gets 404 in the session of another caller', async () => {
  const { url, mallory } = await asMallory((req) => req.get('x-user'));
  expect((await mallory.post(url, [])).status).toBe(404);
});

// A promise, as text, is `[object Promise]`, whoever calls: everybody was the same caller. The type forbids it, which
// JavaScript does not see.
it('a principal that is not a text is no credential for the sessions of others', async () => {
  const user: unknown = () => Promise.resolve('somebody');
  const { url, mallory } = await asMallory(user as AnynodeOptions['principal']).catch(() => ({
    url: '',
    mallory: undefined,
  }));
  if (mallory === undefined) return; // refused before there was a session: as good
  expect((await mallory.post(url, request(1, 'ping'))).status).not.toBe(200);
});
