/** Whether the server at `upstream` answers: learned from the requests that it gets, and looked at while it gets none. */
import type { IncomingMessage } from 'node:http';
import { AnynodeError } from '../protocol/errors.js';
import type { Clock } from '../protocol/clock.js';
import { jittered } from '../protocol/clock.js';
import type { Logger } from '../options/types.js';
import { isSuccess } from './http/response-body.js';
import { Failure } from './failure.js';
import type { Outgoing, Target } from './http/http-exchange.js';
import type { UpstreamTarget } from './http/upstream.js';

/** How often a server is looked at that was heard of last this long ago. */
const CHECK_MS = 5000;
/** How often a server is looked at that did not answer. */
const CHECK_DOWN_MS = 1000;

export interface ServerWatchParts {
  target: UpstreamTarget;
  url: URL;
  /** `true`: a connection has to come about. A path: GET there has to be answered with 2xx. `false`: not looked at. */
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
 * Sends requests to the server, and keeps in mind whether it answers. One node makes one check at a time, and none while
 * requests say the same. A server that goes away is logged once, and so is its return.
 */
export class ServerWatch implements Target {
  readonly inside = false;
  /** How often the server was found not to listen, after it had. Whatever it kept in memory before is gone. */
  restarts = 0;
  /** Why the server does not answer; `undefined`: it does. */
  private reason: string | undefined = 'it has not answered yet';
  private isDown = false;
  private hasRefused = false;
  private heardAt: number;
  private cancelCheck: () => void = () => undefined;
  private readonly waiting = new Set<Waiter>();
  /** An attempt to connect that is under way: one is enough for all who ask. */
  private attempt: Promise<boolean> | undefined;
  private closed = false;

  constructor(private readonly parts: ServerWatchParts) {
    this.heardAt = parts.clock.elapsed() - CHECK_MS;
    if (parts.check !== false) void this.look();
  }

  /** Why the node is not ready; `undefined`: the server answers, or is not looked at. */
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

  /**
   * Whether a request would reach the server now: a connection to it is open and idle, or one comes about. Never rejects.
   */
  async isReachable(): Promise<boolean> {
    const { target, check } = this.parts;
    if (target.hasIdleConnection()) return true;
    // Then a connection is tried every second: what is known is no older than that.
    if (this.isDown && check === true) return false;
    this.attempt ??= this.tryToConnect().finally(() => (this.attempt = undefined));
    return this.attempt;
  }

  async send(outgoing: Outgoing): Promise<IncomingMessage> {
    try {
      const response = await this.parts.target.send(outgoing);
      this.hasRefused = false;
      // Where a path says how the server is, other answers do not.
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
    // The next check is set when this one is over.
    this.cancelCheck();
    try {
      await this.checkOnce();
      if (!this.closed) this.isUp();
    } catch (error) {
      if (!this.closed) this.note(error);
    }
    this.schedule(this.reason === undefined ? CHECK_MS : CHECK_DOWN_MS);
  }

  /** Rejects with a {@link Failure} where the server does not answer as it should. */
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
