/**
 * Finds out whether the server at `upstream` answers. Requests of clients show that. While there are none, the node checks
 * the server.
 */
import type { IncomingMessage } from 'node:http';
import { AnynodeError } from '../protocol/errors.js';
import type { Clock } from '../protocol/timing/clock.js';
import { jittered } from '../protocol/timing/clock.js';
import type { Logger } from '../options/public-types.js';
import { isSuccess } from './http/response-body.js';
import { Failure } from './failure.js';
import type { Outgoing, Target } from './http/http-exchange.js';
import type { UpstreamTarget } from './http/upstream.js';

/** A server is checked when it has not answered anything for this long. */
const CHECK_MS = 5000;
/** The time between two checks of a server that did not answer. */
const CHECK_DOWN_MS = 1000;

export interface ServerWatchParts {
  target: UpstreamTarget;
  url: URL;
  /**
   * How the server is checked:
   *
   * - `true`: the node connects to it.
   * - A path: the node sends a GET, which the server has to answer with 2xx.
   * - `false`: the node does not check it.
   */
  check: boolean | string;
  clock: Clock;
  logger: Logger;
  timeoutMs: number;
}

interface Waiter {
  resolve: () => void;
  reject: (error: Error) => void;
}

/**
 * Sends requests to the server, and remembers whether the server answers. A node runs only one check at a time, and runs no
 * check while requests already show that the server answers. An outage of the server is logged once, and so is the end of the
 * outage.
 */
export class ServerWatch implements Target {
  readonly inside = false;
  /** How often the server was found not to listen after it had listened. Its state in memory was lost each time. */
  restarts = 0;
  /** Why the server does not answer, or `undefined` if it answers. */
  private reason: string | undefined = 'it has not answered yet';
  private isDown = false;
  private hasRefused = false;
  private heardAt: number;
  private cancelCheck: () => void = () => undefined;
  private readonly waiting = new Set<Waiter>();
  /** The attempt to connect that is under way. All callers share it. */
  private attempt: Promise<boolean> | undefined;
  private closed = false;

  constructor(private readonly parts: ServerWatchParts) {
    this.heardAt = parts.clock.elapsed() - CHECK_MS;
    if (parts.check !== false) void this.look();
  }

  /** Returns why the node is not ready. Returns `undefined` if the server answers, or is not checked. */
  trouble(): string | undefined {
    if (this.parts.check === false || this.reason === undefined) return undefined;
    return `the server at ${this.parts.url.origin}: ${this.reason}`;
  }

  /** Resolves when the server answers. Rejects after `close()`. */
  ready(): Promise<void> {
    if (this.closed) return Promise.reject(closedError());
    if (this.trouble() === undefined) return Promise.resolve();
    return new Promise((resolve, reject) => this.waiting.add({ resolve, reject }));
  }

  /** True if a request would reach the server now: a connection to it is open and idle, or can be made. Never rejects. */
  async isReachable(): Promise<boolean> {
    const { target, check } = this.parts;
    if (target.hasIdleConnection()) return true;
    // While the server is down, the node tries to connect every second. So the last result is recent enough.
    if (this.isDown && check === true) return false;
    this.attempt ??= this.tryToConnect().finally(() => (this.attempt = undefined));
    return this.attempt;
  }

  async send(outgoing: Outgoing): Promise<IncomingMessage> {
    try {
      const response = await this.parts.target.send(outgoing);
      this.hasRefused = false;
      // If the check is a path, other responses do not count.
      if (typeof this.parts.check !== 'string') this.isUp();
      return response;
    } catch (error) {
      if (outgoing.ending?.ended !== true) this.note(error);
      throw error;
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    this.cancelCheck();
    for (const { reject } of this.waiting) reject(closedError());
    this.waiting.clear();
    await this.parts.target.close();
  }

  private async tryToConnect(): Promise<boolean> {
    try {
      await this.parts.target.connect();
      return true;
    } catch (error) {
      if (!this.closed) this.note(error);
      return false;
    }
  }

  private note(error: unknown): void {
    if (!(error instanceof Failure) || error.reason !== 'server_unreachable') return;
    if (error.detail === 'ECONNREFUSED' && !this.hasRefused) {
      this.hasRefused = true;
      this.restarts += 1;
    }
    this.wentDown(error.message);
  }

  private isUp(): void {
    this.heardAt = this.parts.clock.elapsed();
    this.reason = undefined;
    for (const { resolve } of this.waiting) resolve();
    this.waiting.clear();
    if (!this.isDown) return;
    this.isDown = false;
    this.parts.logger.info?.(`mcp-anynode: ${this.parts.url.origin} is reached again`);
  }

  private wentDown(reason: string): void {
    this.reason = reason;
    if (this.isDown) return;
    this.isDown = true;
    this.parts.logger.warn(`mcp-anynode: ${this.parts.url.origin}: ${reason}`);
    if (this.parts.check !== false) this.schedule(CHECK_DOWN_MS);
  }

  private schedule(ms: number): void {
    this.cancelCheck();
    if (this.closed) return;
    this.cancelCheck = this.parts.clock.after(jittered(ms, this.parts.clock), () => {
      const silent = this.parts.clock.elapsed() - this.heardAt;
      if (silent < CHECK_MS && this.reason === undefined) this.schedule(CHECK_MS - silent);
      else void this.look();
    });
  }

  private async look(): Promise<void> {
    // The next check is scheduled at the end of this one.
    this.cancelCheck();
    try {
      await this.checkOnce();
      if (!this.closed) this.isUp();
    } catch (error) {
      if (!this.closed) this.note(error);
    }
    this.schedule(this.reason === undefined ? CHECK_MS : CHECK_DOWN_MS);
  }

  /** Checks the server once. Rejects with a {@link Failure} if it does not answer as it should. */
  private async checkOnce(): Promise<void> {
    const { target, check, timeoutMs } = this.parts;
    if (typeof check !== 'string') {
      await target.connect();
      this.hasRefused = false;
      return;
    }
    const response = await target.get(check, timeoutMs);
    this.hasRefused = false;
    response.destroy();
    if (isSuccess(response)) return;
    throw new Failure(
      'server_unreachable',
      `GET ${check} was answered with ${response.statusCode}`,
    );
  }
}

function closedError(): AnynodeError {
  return new AnynodeError('closed', 'This node has closed');
}
