import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { startRedis, type RedisServer } from '../rig/redis.js';
import { seededRandom, type Random } from '../cluster/support/random.js';
import { Balancer } from './balancer.js';
import { ChaosClient, type ClientOptions } from './client.js';
import { Fleet, type FleetOptions } from './fleet.js';
import { Ledger } from './ledger.js';
import { readRecords } from './records.js';
import { keepTrail, type KeptTrail, type TrailKind } from './kept-trail.js';
import { judgeTrail, type TrailVerdict } from './trail-verdict.js';
import { judge, lostOf, type Verdict } from './verdict.js';

export interface SceneOptions
  extends
    Omit<FleetOptions, 'redis' | 'recordsUrl' | 'prefix' | 'audit'>,
    Partial<Pick<ClientOptions, 'tools' | 'slowMs'>> {
  clients: number;
  /** How many notifications from outside each client gets per second. With 0 there are none. */
  rate: number;
  thinkMs: number;
  restless: boolean;
  /** The seed of the random choices. Left out: another seed each time. */
  seed?: number;
  /** How long to wait, once the faults are over, for calls and notifications that are still under way. */
  settleMs: number;
  /** Where the nodes keep an audit trail. Left out: nowhere. Redis has an append-only file then. */
  trail?: TrailKind | undefined;
}

const TOOLS = ['echo', 'echo', 'slow', 'slow', 'ask', 'announce'];

/** Redis, nodes, balancer and clients of one run. */
export class Scene {
  readonly clients: ChaosClient[] = [];
  private readonly working: Promise<void>[] = [];
  private readonly notifying: Promise<void>[] = [];
  private quiet = false;

  private constructor(
    private readonly options: SceneOptions,
    readonly random: Random,
    private readonly servers: readonly RedisServer[],
    /** The connection of the test to Redis, without proxies. */
    readonly redis: Redis,
    private readonly records: Redis,
    private readonly balancer: Balancer,
    readonly fleet: Fleet,
    private readonly prefix: string,
    readonly trail: KeptTrail | undefined,
  ) {}

  static async start(options: SceneOptions): Promise<Scene> {
    const random = seededRandom(options.seed);
    const prefix = `chaos-${randomBytes(4).toString('hex')}`;
    const persistent = ['--appendonly', 'yes', '--appendfsync', 'everysec'];
    const [server, book, trail] = await Promise.all([
      startRedis(options.trail === undefined ? {} : { args: persistent }),
      startRedis(),
      options.trail && keepTrail(options.trail),
    ]);
    const balancer = await Balancer.start();
    const fleet = await Fleet.start(
      { ...options, redis: server, recordsUrl: book.url, prefix, audit: trail?.sink },
      balancer,
    );
    const [redis, records] = [new Redis(server.url), new Redis(book.url)];
    redis.on('error', () => undefined); // it is killed at times
    const parts = [[server, book], redis, records, balancer, fleet, prefix, trail] as const;
    const scene = new Scene(options, random, ...parts);
    await scene.open();
    return scene;
  }

  /** Starts the calls and the notifications. */
  begin(): void {
    for (const client of this.clients) {
      this.working.push(client.work());
      if (this.options.rate > 0) this.notifying.push(this.notify(client));
    }
  }

  /**
   * Stops new calls and notifications. Waits up to `settleMs` in all for calls under way and accepted notifications, and
   * then judges.
   */
  async end(): Promise<Verdict> {
    const deadline = Date.now() + this.options.settleMs;
    for (const { proxy, packets } of this.fleet.places) {
      void packets.arrive();
      proxy.resume();
      proxy.unmute();
      proxy.delay(0);
      proxy.accept();
    }
    this.quiet = true;
    for (const client of this.clients) client.finish();
    const done = Promise.all([...this.working, ...this.notifying]);
    // The timer is unref'd, so that it does not keep the process alive.
    await Promise.race([done, pause(this.options.settleMs, undefined, { ref: false })]);
    const ledgers = this.clients.map(({ ledger }) => ledger);
    for (;;) {
      const recorded = await readRecords(this.records, this.prefix);
      const isAllThere = ledgers.every((ledger) => lostOf(ledger, recorded).length === 0);
      if (isAllThere || Date.now() > deadline) {
        return judge(ledgers, recorded, { owned: this.options.affinity === 'owner' });
      }
      await pause(100);
    }
  }

  /** The main Redis, which the nodes use. */
  get server(): RedisServer {
    const [server] = this.servers;
    if (server === undefined) throw new Error('There is a Redis');
    return server;
  }

  /** Waits until the whole outbox was archived, and compares the audit trail with the ledgers. */
  async judgeTrail(): Promise<TrailVerdict> {
    if (this.trail === undefined) throw new Error('There is no audit trail');
    const deadline = Date.now() + this.options.settleMs;
    const outbox = `${this.prefix}:audit:{all}`;
    while ((await this.redis.xlen(outbox)) > 0) {
      if (Date.now() > deadline) throw new Error('The outbox was not archived');
      await pause(100);
    }
    const trail = this.trail.open();
    try {
      const recorded = await readRecords(this.records, this.prefix);
      return await judgeTrail(trail, this.clients, recorded);
    } finally {
      await trail.close();
    }
  }

  async stop(): Promise<void> {
    this.quiet = true;
    for (const client of this.clients) client.stop();
    await this.fleet.stop();
    await this.balancer.stop();
    this.redis.disconnect();
    this.records.disconnect();
    await Promise.all(this.servers.map((server) => server.stop()));
    await this.trail?.stop();
  }

  private async open(): Promise<void> {
    const { clients, thinkMs, restless, tools = TOOLS, slowMs = 200, bare } = this.options;
    const more = { random: this.random, thinkMs, restless, tools, slowMs };
    const since = Date.now();
    for (let at = 1; at <= clients; at += 1) {
      const ledger = new Ledger(`client${at}`, since);
      this.clients.push(new ChaosClient({ url: this.balancer.url, ledger, ...more }));
    }
    await Promise.all(this.clients.map((client) => client.start({ primed: bare !== true })));
  }

  /** Sends notifications one after the other, each from any living node. So their order is known. */
  private async notify({ ledger, sessionId }: ChaosClient): Promise<void> {
    const everyMs = 1000 / this.options.rate;
    for (let n = 1; !this.quiet; n += 1) {
      const at = Date.now();
      const sent = { n, at, outcome: 'pending' as 'pending' | 'accepted' | 'unknown' };
      ledger.sent.push(sent);
      await this.fleet.notify(this.random, sessionId, { n }).then(
        () => (sent.outcome = 'accepted'),
        () => (sent.outcome = 'unknown'),
      );
      await pause(Math.max(0, everyMs - (Date.now() - at)));
    }
  }
}
