// Names each entry, so that a compiler reads its types.
import { anynode, AnynodeError, memoryBackplane, type Anynode } from 'mcp-anynode';
import type { Backplane } from 'mcp-anynode/backplane';
import { aesGcmCodec } from 'mcp-anynode/codec';
import { lambdaHandler } from 'mcp-anynode/lambda';
import { legacySse } from 'mcp-anynode/legacy-sse';
import { monitor } from 'mcp-anynode/monitor';
import { observe } from 'mcp-anynode/observe';
import { sdkStores } from 'mcp-anynode/sdk-stores';

const backplane: Backplane = memoryBackplane();
const redis: string | undefined = process.env['REDIS_URL'];
export const mcp: Anynode = anynode({
  upstream: 'http://127.0.0.1:9000/mcp',
  backplane: redis === undefined ? backplane : undefined,
  principal: (req) => req.header('x-user'),
});
export const sse = legacySse(mcp, { ssePath: '/sse' });
export const handler = lambdaHandler(mcp);
export const others = [aesGcmCodec, monitor, observe, sdkStores];

export function isClosed(error: unknown): boolean {
  return error instanceof AnynodeError && error.code === 'closed';
}
export async function statusOf(request: Request): Promise<number> {
  const { status } = await mcp.fetch(request);
  return status;
}
// @ts-expect-error -- a text is no request
void mcp.fetch('http://localhost/mcp');
// @ts-expect-error -- a number is no URL
anynode({ upstream: 9000 });
