import http, { type ServerOptions } from 'node:http';
import type { Application } from 'express';

/** The prototypes of the requests and responses of an Express application. */
export interface ExpressPrototypes {
  readonly request: object;
  readonly response: object;
}

/** The classes of requests and responses, as `http.createServer` and `https.createServer` take them. */
export type AppServerOptions = Pick<ServerOptions, 'IncomingMessage' | 'ServerResponse'>;

/**
 * Returns options for the HTTP server of an Express application: `createServer(serverOptionsFor(app), app).listen(3000)`
 * instead of `app.listen(3000)`. Requests and responses then have the application's prototypes from the start.
 *
 * This changes only the speed, on Node 20 and 22. Express sets the prototype of each request and response. V8 then treats
 * each object as a kind of its own, which costs more than the rest of a small request (see `docs/performance.md`). If the
 * prototype is right from the start, Express changes nothing. Limits:
 *
 * - It helps only the application that the server is given, not applications that are mounted in it.
 * - From Node 24 on there is nothing to gain, and the result is empty.
 * - Code that sees requests before the application (a listener in front of it) cannot assign to properties that Express
 *   defines as getters, such as `req.protocol`.
 *
 * Throws a `TypeError` if `app` is not an Express application.
 */
export function serverOptionsFor(app: ExpressPrototypes | Application): AppServerOptions {
  // The type `Application` does not declare the prototypes, though many annotate the result of `express()` with it.
  const { request, response } = app as Partial<ExpressPrototypes>;
  // Their names appear in stack traces.
  function IncomingMessage(this: object, socket: unknown): void {
    initializeRequest.call(this, socket);
  }
  function ServerResponse(this: object, req: unknown, options: unknown): void {
    initializeResponse.call(this, req, options);
  }
  IncomingMessage.prototype = madeBy(http.IncomingMessage, request);
  ServerResponse.prototype = madeBy(http.ServerResponse, response);
  if (Number.parseInt(process.versions.node, 10) >= 24) return {};
  return { IncomingMessage, ServerResponse } as unknown as AppServerOptions;
}

type Initialize = (this: object, ...args: unknown[]) => void;
// Up to Node 22 these are functions that can initialize any object. `Reflect.construct` would work for classes too, but V8
// would then make a kind of object for each.
const initializeRequest = http.IncomingMessage as unknown as Initialize;
const initializeResponse = http.ServerResponse as unknown as Initialize;

function madeBy(constructor: new (...args: never[]) => object, prototype: unknown): object {
  if (prototype instanceof constructor) return prototype;
  throw new TypeError('serverOptionsFor takes an Express application');
}
