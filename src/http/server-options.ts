import http, { type ServerOptions } from 'node:http';
import type { Application } from 'express';

/** Of an Express application: what its requests and responses inherit from. */
export interface ExpressPrototypes {
  readonly request: object;
  readonly response: object;
}

/** As `http.createServer` and `https.createServer` take them. */
export type AppServerOptions = Pick<ServerOptions, 'IncomingMessage' | 'ServerResponse'>;

/**
 * Options for the HTTP server of an Express application, with which requests and responses are the application's from
 * the start: `createServer(serverOptionsFor(app), app).listen(3000)` in place of `app.listen(3000)`.
 *
 * All that changes for the application is speed, on Node 20 and 22. Express gives each request and response the
 * application's prototype, and for their V8 each is then an object of a kind of its own, which costs more than all else that
 * a small request does (see `docs/performance.md`). Where they have it already, nothing is done. It goes for the application
 * that the server is given: a request that this one hands on to an application mounted in it costs what it did. From Node 24
 * on there is nothing to gain, and the result is empty. What sees requests before the application does (a listener in front
 * of it) cannot assign to what Express has as a getter only, `req.protocol` for instance.
 *
 * Throws a `TypeError` if `app` is no Express application.
 */
export function serverOptionsFor(app: ExpressPrototypes | Application): AppServerOptions {
  // The type `Application` says nothing of them, though many annotate what `express()` returns with it.
  const { request, response } = app as Partial<ExpressPrototypes>;
  // Named as what they make is: these names are seen in stack traces.
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
// Up to Node 22 they are functions that initialize whatever they are called for. `Reflect.construct` would do for classes,
// too, but V8 then makes a kind of object for each.
const initializeRequest = http.IncomingMessage as unknown as Initialize;
const initializeResponse = http.ServerResponse as unknown as Initialize;

function madeBy(constructor: new (...args: never[]) => object, prototype: unknown): object {
  if (prototype instanceof constructor) return prototype;
  throw new TypeError('serverOptionsFor takes an Express application');
}
