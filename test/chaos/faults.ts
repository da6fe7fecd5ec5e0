import { setTimeout as pause } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import type { Random } from '../cluster/support/random.js';
import type { Fleet, Place } from './fleet.js';

/** The names of the faults that can be started. */
export type FaultName =
  | 'node killed'
  | 'node restarted'
  | 'node paused, shorter than its lease'
  | 'node paused, longer than its lease'
  | 'clock of one node 20 minutes ahead'
  | 'Redis cut off from one node'
  | 'Redis cut off from all nodes'
  | 'Redis away'
  | 'Redis stalled'
  | 'Redis slow'
  | 'Redis swallows, then hangs up'
  | 'replies lost'
  | 'subscribers cut off'
  | 'packets dropped'
  | 'Redis refuses writes for 3 leases'
  | Outage;

/** A server that is killed, and started again with its files after a while. */
export type Outage = 'Redis killed' | 'PostgreSQL killed';

export const REDIS_FAULTS: readonly FaultName[] = [
  'Redis cut off from one node',
  'Redis cut off from all nodes',
  'Redis away',
  'Redis stalled',
  'Redis slow',
  'Redis swallows, then hangs up',
  'replies lost',
  'subscribers cut off',
  'packets dropped',
  'Redis refuses writes for 3 leases',
];

const AHEAD_MS = 20 * 60_000;

/** How many commits lose their reply each time. */
const LOST_REPLIES = 5;

/** Starts faults in a fleet, and counts them. */
export class Faults {
  readonly counts = new Map<FaultName, number>();
  readonly log: string[] = [];
  /** How many commits were carried out and lost their reply. */
  lostReplies = 0;
  private readonly since = Date.now();
  private readonly underWay = new Set<Promise<void>>();
  /** Faults that are due, but that found no node up. */
  private readonly due: FaultName[] = [];

  constructor(
    private readonly fleet: Fleet,
    private readonly redis: Redis,
    private readonly random: Random,
    private readonly leaseMs: number,
    private readonly outages: Partial<Record<Outage, () => Promise<void>>> = {},
  ) {}

  /** Starts a fault and returns. If no node is up, the fault starts as soon as another fault is over. */
  bring(name: FaultName): void {
    const up = this.fleet.up();
    if (up.length === 0) {
      this.note(`no node is up for: ${name}`);
      if (!this.due.includes(name)) this.due.push(name);
      return;
    }
    const place = this.random.pick(up);
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    this.note(`${name}: ${place.name}, process ${place.process.pid}`);
    const done = this.run(name, place)
      .then(() => {
        this.note(`over: ${name}: ${place.name}, now process ${place.process.pid}`);
        for (const next of this.due.splice(0)) this.bring(next);
      })
      .finally(() => this.underWay.delete(done));
    this.underWay.add(done);
  }

  /** Resolves when all faults are over. Rejects if a node could not be started again. */
  async over(): Promise<void> {
    while (this.underWay.size > 0) await Promise.all(this.underWay);
  }

  private run(name: FaultName, place: Place): Promise<void> {
    const { fleet, random, leaseMs } = this;
    const { proxy } = place;
    switch (name) {
      case 'node killed':
        return fleet.kill(place);
      case 'node restarted':
        return fleet.restart(place);
      case 'node paused, shorter than its lease':
        return fleet.pause(place, random.int(leaseMs / 10, leaseMs / 2));
      case 'node paused, longer than its lease':
        return fleet.pause(place, random.int(leaseMs * 1.2, leaseMs * 2));
      case 'clock of one node 20 minutes ahead':
        return this.between(
          random.int(leaseMs, leaseMs * 4),
          () => fleet.setClock(place, AHEAD_MS),
          () => fleet.setClock(place, 0),
        );
      case 'Redis cut off from one node':
        proxy.cut();
        return Promise.resolve();
      case 'Redis cut off from all nodes':
        for (const each of fleet.places) each.proxy.cut();
        return Promise.resolve();
      case 'Redis away':
        return this.away(random.int(leaseMs / 3, leaseMs * 1.2));
      case 'Redis stalled':
        return this.between(random.int(leaseMs / 3, leaseMs * 1.2), proxy.stall, proxy.resume);
      case 'Redis slow': {
        const ms = random.int(50, 300);
        return this.between(
          leaseMs,
          () => proxy.delay(ms),
          () => proxy.delay(0),
        );
      }
      case 'Redis swallows, then hangs up':
        return this.between(
          random.int(leaseMs / 3, leaseMs),
          () => proxy.mute(),
          () => {
            // Like a connection that a firewall has forgotten, it must not go on after some data were lost.
            proxy.cut();
            proxy.unmute();
          },
        );
      case 'replies lost':
        return this.loseReplies(place);
      case 'subscribers cut off':
        return fleet.killSubscribers(this.redis);
      case 'packets dropped':
        // The node gives its connections up and makes new ones. Then the data that the kernel still had of the old ones
        // arrive.
        return this.between(
          random.int(2500, 6000),
          () => place.packets.drop(),
          () => void place.packets.arrive(),
        );
      case 'Redis killed':
      case 'PostgreSQL killed':
        return this.outages[name]?.() ?? Promise.resolve();
      case 'Redis refuses writes for 3 leases':
        return this.between(
          leaseMs * 3,
          () => this.needReplicas(1),
          () => this.needReplicas(0),
        );
    }
  }

  /**
   * Sets how many replicas Redis needs to accept writes. With more than it has, it still answers reads, but refuses writes.
   */
  private needReplicas(count: number): void {
    void this.redis.config('SET', 'min-replicas-to-write', count);
  }

  private async away(ms: number): Promise<void> {
    const proxies = this.fleet.places.map(({ proxy }) => proxy);
    for (const proxy of proxies) {
      proxy.refuse();
      proxy.cut();
    }
    await pause(ms);
    for (const proxy of proxies) proxy.accept();
  }

  private async between(ms: number, begin: () => void, end: () => void): Promise<void> {
    begin();
    await pause(ms);
    end();
  }

  /**
   * Loses the replies of commits that append something, so that a second execution would show. It loses one after the
   * other, because each needs a new connection.
   */
  private async loseReplies({ proxy }: Place): Promise<void> {
    for (let lost = 0; lost < LOST_REPLIES; lost += 1) {
      const sprung = proxy
        .cutBeforeReply((data) => data.includes('\r\nappend\r\n'))
        .then(() => void (this.lostReplies += 1));
      // A node that has ended meanwhile sends nothing.
      await Promise.race([sprung, pause(3000, undefined, { ref: false })]);
    }
  }

  private note(what: string): void {
    this.log.push(`+${((Date.now() - this.since) / 1000).toFixed(2)}s ${what}`);
  }
}
