import type { IncomingMessage } from 'node:http';
import type { Logger } from '../../options/public-types.js';
import type { EndpointResponse } from '../response/endpoint-response.js';
import type { FetchOptions } from './fetched-request.js';
import { FetchedRequest } from './fetched-request.js';
import { FetchedResponse } from './fetched-response.js';

/** Answers a `Request` of the Fetch standard with a `Response`. See {@link Anynode.fetch}. */
export type FetchHandler = (
  request: globalThis.Request,
  options?: FetchOptions,
) => Promise<globalThis.Response>;

/**
 * Returns a handler of Fetch requests that lets `listener` answer them. The promise of the handler rejects only if it is
 * called with something that is not a request.
 */
export function fetchHandler(
  listener: (req: IncomingMessage, res: EndpointResponse) => void,
  logger: Pick<Logger, 'error'>,
): FetchHandler {
  const onTaken = (): void =>
    logger.error(
      'mcp-anynode: the body of a request was read before `mcp.fetch` got it: give it as `parsedBody`, or a clone of the request',
    );
  return async (request, options = {}) => {
    const req = new FetchedRequest(request, options, onTaken);
    const res = new FetchedResponse(request.method);
    const { signal } = request;
    const onAbort = (): void => {
      req.destroy();
      res.hangUp();
    };
    if (signal.aborted) {
      onAbort();
      return res.response;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    res.once('close', () => signal.removeEventListener('abort', onAbort));
    listener(req, res);
    return res.response;
  };
}
