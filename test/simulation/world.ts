import { Application } from './application.js';
import { AuditTrail } from './audit-trail.js';
import { SimBackplane } from './backplane.js';
import type { ClientHost } from './client-requests.js';
import { SimClient } from './client.js';
import { LegacyClient } from './legacy-client.js';
import { Ledger } from './ledger.js';
import { SimNode } from './node.js';
import type { Action, Plan, Setting } from './plan.js';
import { HORIZON_MS } from './plan.js';
import { Random } from './random.js';
import { Scheduler } from './scheduler.js';

/** How long everything may take to settle once nothing fails any more. */
const SETTLE_MS = 45_000;

/** Nodes, clients and the backplane of one run, and what happens to them. */
export class World {
  readonly scheduler: Scheduler;
  readonly ledger: Ledger;
  readonly backplane: SimBackplane;
  readonly clients: SimClient[] = [];
  /** The clients of HTTP+SSE. */
  readonly legacyClients: LegacyClient[] = [];
  /** The addresses that load balancers know. A slot is empty while its node is down. */
  readonly slots: (SimNode | undefined)[] = [];
  readonly nodes: SimNode[] = [];
  readonly setting: Setting;
  /** `undefined`: nodes keep no audit trail. */
  readonly trail: AuditTrail | undefined;
  /** True once nothing fails any more. */
  calm = false;
  /** True if a node was paused. Then the checks cannot limit how long answers take. */
  paused = false;
  /** For how long in total each node alone was paused, or without its connection to the backplane. */
  private readonly troubledMs = new Map<string, number>();
  private failingOver = false;
  private readonly application: Application;
  private readonly random: Random;
  private readonly nodeRandom: Random;
  private starts = 0;
  private sessions = 0;

  constructor(
    private readonly plan: Plan,
    random: Random,
  ) {
    this.setting = plan.setting;
    this.random = random.fork();
    this.nodeRandom = random.fork();
    this.scheduler = new Scheduler(random.fork());
    this.ledger = new Ledger(this.scheduler);
    this.application = new Application(this.scheduler, this.ledger);
    const { setting } = this;
    this.backplane = new SimBackplane(
      this.scheduler,
      random.fork(),
      () => ({
        latencyMs: setting.backplaneMs,
        busMs: setting.busMs,
        loseReply: this.calm ? 0 : setting.loseReply,
        loseCall: this.calm ? 0 : setting.loseCall,
        refuse: this.calm ? 0 : setting.refuse,
        reorder: this.calm ? 0 : setting.reorder,
        duplicate: this.calm ? 0 : setting.duplicate,
      }),
      this.ledger,
    );
    const { audit } = setting;
    if (audit === undefined) return;
    this.trail = new AuditTrail(this.scheduler, random.fork(), audit, () => this.calm);
    this.backplane.trail = this.trail;
  }

  async run(): Promise<void> {
    const { scheduler, setting } = this;
    scheduler.onStep = () => this.backplane.tellWhatIsKept();
    for (let slot = 0; slot < setting.nodes; slot += 1) this.start(slot);
    for (let at = 0; at < setting.clients; at += 1) this.addClient(at);
    for (let at = 0; at < setting.legacyClients; at += 1) this.addLegacyClient(at);
    for (const action of this.plan.actions) scheduler.after(action.at, () => this.act(action));
    await scheduler.runUntil(HORIZON_MS);
    this.heal();
    await scheduler.runUntil(HORIZON_MS + SETTLE_MS);
  }

  /** Lets the clients leave and the nodes close. Then checks that nothing is left of the sessions and the nodes. */
  async end(): Promise<void> {
    const { scheduler, setting } = this;
    scheduler.note('--- everybody leaves');
    for (const client of [...this.clients, ...this.legacyClients]) client.leave();
    await scheduler.runUntil(scheduler.elapsed + 5000);
    let closed = 0;
    const open = this.slots.filter((node) => node !== undefined);
    for (const node of open) void node.handle.close({ drainMs: 1000 }).then(() => (closed += 1));
    await scheduler.runUntil(scheduler.elapsed + 20_000);
    const { seen } = this.ledger;
    // A session may have expired without any later event.
    this.backplane.tellWhatIsKept();
    // With a short lifetime, the sessions that clients have left have expired by now. Otherwise the lifetime is longer than
    // the run.
    const left = setting.sessionTtlMs < 10_000 ? this.backplane.sessions() : [];
    for (const id of left) seen.push(`7 leaks: ${id} has not expired`);
    if (closed < open.length) seen.push('7 leaks: close() of a node does not resolve');
    for (const node of this.nodes) {
      if (node.process.state !== 'running') continue;
      const { sessions, streams, inFlight } = node.handle.health();
      if (sessions + streams + inFlight > 0) {
        seen.push(
          `7 leaks: ${node.nodeId} has closed, with ${sessions} replicas, ${streams} streams, ${inFlight} calls`,
        );
      }
      if (node.timers.size > 0) {
        seen.push(
          `7 leaks: ${node.nodeId} has closed, and timers wait: ${[...node.timers.values()].join()}`,
        );
      }
    }
  }

  private start(slot: number): void {
    this.starts += 1;
    const nodeId = `n${this.starts}`;
    this.scheduler.note(`${nodeId} starts in slot ${slot}`);
    const node = new SimNode(nodeId, {
      scheduler: this.scheduler,
      random: this.nodeRandom,
      setting: this.setting,
      ledger: this.ledger,
      backplane: this.backplane,
      sessionIdGenerator: () => `s${(this.sessions += 1)}`,
      clockMs: this.setting.clocksMs[slot] ?? 0,
      trail: this.trail,
      failing: () => !this.calm,
    });
    this.slots[slot] = node;
    this.nodes.push(node);
  }

  private addClient(at: number): void {
    const client = new SimClient(this.clientHost(), {
      name: `c${at}`,
      principal: `user${at}`,
      version: this.random.pick(this.setting.versions),
    });
    this.clients.push(client);
    this.scheduler.after(this.random.int(0, 200), () => client.initialize(this.anySlot()));
  }

  private addLegacyClient(at: number): void {
    const client = new LegacyClient(this.clientHost(), { name: `l${at}`, principal: `old${at}` });
    this.legacyClients.push(client);
    this.scheduler.after(this.random.int(0, 200), () => client.connect(this.anySlot()));
  }

  private clientHost(): ClientHost {
    return {
      scheduler: this.scheduler,
      random: this.random,
      ledger: this.ledger,
      calm: () => this.calm,
      anySlot: () => this.anySlot(),
      slots: this.setting.nodes,
      returnMs: this.setting.returnMs,
      request: (slot, request, listener, name, onWrite) => {
        const node = this.slots[slot];
        return node === undefined || node.left
          ? undefined
          : node.request(request, listener, name, onWrite);
      },
    };
  }

  private anySlot(): number {
    const up = [...this.slots.keys()].filter((slot) => this.slots[slot] !== undefined);
    return up.length === 0 ? 0 : this.random.pick(up);
  }

  private act(action: Action): void {
    const { scheduler } = this;
    if (action.do === 'legacy' || action.do === 'legacyCall') {
      this.actOfLegacyClient(action);
      return;
    }
    if ('client' in action) {
      const client = this.clients[action.client];
      if (client !== undefined) this.actOfClient(client, action);
      return;
    }
    if (!('slot' in action)) {
      this.actOfBackplane(action);
      return;
    }
    const node = this.slots[action.slot];
    if (node === undefined || node.process.state === 'dead' || node.closing) return;
    const member = this.backplane.member(node.nodeId);
    scheduler.note(`--- ${action.do} ${node.nodeId}`);
    switch (action.do) {
      case 'crash':
        this.troubled(node, Infinity);
        node.crash();
        this.empty(action.slot, node, action.downMs);
        break;
      case 'pause':
        if (node.process.state !== 'running') return;
        node.process.state = 'paused';
        this.paused = true;
        this.troubled(node, action.ms);
        // A proxy in front of the node takes it for dead, and ends the connections of its clients.
        if (action.dropsClients) {
          const open = [...node.exchanges].filter((exchange) => exchange.isOpen);
          scheduler.after(this.random.int(50, 500), () => {
            for (const exchange of open) exchange.hangUp(1);
          });
        }
        scheduler.after(action.ms, () => {
          if (node.process.state !== 'paused') return;
          scheduler.note(`--- ${node.nodeId} goes on`);
          scheduler.resume(node.process, action.timersFirst);
        });
        break;
      case 'close':
        this.close(action.slot, node, action.drainMs, action.downMs);
        break;
      case 'cutLink':
        if (member === undefined) return;
        this.troubled(node, action.downMs);
        this.ledger.outage(action.downMs, action.slot);
        member.link.cut('cut', { downMs: action.downMs });
        break;
      case 'stallLink':
        this.troubled(node, action.ms);
        this.ledger.outage(action.ms, action.slot);
        if (member !== undefined) member.link.stalledUntil = scheduler.now + action.ms;
        break;
      case 'loseSubscription':
        member?.loseSubscription('cut', action.ms);
        break;
      case 'deafen':
        member?.goDeaf();
        break;
      case 'stepClock':
        node.clockMs = action.ms;
        break;
      case 'toolsChanged':
        if (node.process.state === 'running') this.application.announce(node);
        break;
      case 'resourceUpdated':
        if (node.process.state === 'running') this.application.announce(node, action.uri);
        break;
    }
  }

  private actOfBackplane(action: Exclude<Action, { client: number } | { slot: number }>): void {
    const { scheduler, backplane, random } = this;
    scheduler.note(`--- ${action.do}`);
    switch (action.do) {
      case 'outage':
        this.ledger.outage(action.ms + action.apartMs);
        backplane.cutAll('outage', { ms: action.ms, apartMs: action.apartMs, arrives: true });
        break;
      case 'refuseWrites': {
        const refusal = `NOREPLICAS until ${scheduler.elapsed + action.ms}`;
        backplane.refusal = refusal;
        this.ledger.outage(action.ms);
        scheduler.after(action.ms, () => {
          if (backplane.refusal !== refusal) return;
          scheduler.note('--- writes are allowed again');
          backplane.refusal = undefined;
        });
        break;
      }
      case 'failover': {
        if (this.failingOver) return;
        this.failingOver = true;
        const takeOver = backplane.replicate();
        scheduler.after(action.lostMs, () => {
          this.failingOver = false;
          const isLost = (key: string): boolean =>
            new Random(action.salt + Number.parseInt(key, 36)).fork().chance(action.share);
          takeOver(isLost, action.clockMs);
          const { ledger } = this;
          if (action.clockMs < 0) {
            ledger.clockWentBackAt = Math.min(ledger.clockWentBackAt, scheduler.elapsed);
            ledger.clockBackMs -= action.clockMs;
          }
          if (action.clockMs > 0)
            ledger.clockWentAheadAt = Math.min(ledger.clockWentAheadAt, scheduler.elapsed);
          // Calls on their way to the failed server have no effect any more.
          const ms = random.next() * action.awayMs;
          backplane.cutAll('failover', { ms, apartMs: 300, arrives: false });
          this.ledger.outage(ms + 300);
        });
        break;
      }
    }
  }

  private troubled({ nodeId }: SimNode, ms: number): void {
    this.troubledMs.set(nodeId, (this.troubledMs.get(nodeId) ?? 0) + ms);
  }

  /** For how long in total the node was paused or without its connection, so that no message could reach it. */
  readonly outOfTouchMs = (nodeId: string): number => this.troubledMs.get(nodeId) ?? 0;

  /** Whether other nodes may take the node for dead: it crashed, or it alone was out of touch for long. */
  readonly mayBeFoundDead = (nodeId: string): boolean =>
    this.outOfTouchMs(nodeId) > this.setting.leaseMs / 2;

  private actOfLegacyClient(action: Extract<Action, { do: 'legacy' | 'legacyCall' }>): void {
    const client = this.legacyClients[action.client];
    const { slot } = action;
    if (client === undefined) return;
    if (action.do === 'legacyCall') {
      client.call(slot, action);
      return;
    }
    switch (action.what) {
      case 'cancel':
        client.cancel(slot, action.which);
        break;
      case 'breakOff':
        client.breakOff(action.ms);
        break;
      case 'stall':
        client.stall(action.ms);
        break;
      case 'intrude':
        client.intrude(slot);
        break;
      case 'push':
      case 'request': {
        const node = this.slots[slot];
        if (node?.process.state !== 'running' || client.sessionId === undefined) return;
        this.application[action.what](node, client.sessionId);
      }
    }
  }

  private actOfClient(
    client: SimClient,
    action: Exclude<Extract<Action, { client: number }>, { do: 'legacy' | 'legacyCall' }>,
  ): void {
    const node = 'slot' in action ? this.slots[action.slot] : undefined;
    switch (action.do) {
      case 'call':
        client.call(action.slot, action.calls);
        break;
      case 'reuse':
        client.reuse(action.slot, action.which, action.running, action);
        break;
      case 'task':
        client.tasks.start(action.slot, action, action.wish);
        break;
      case 'askTask':
        client.tasks.ask(action.slot, action.what, action.which);
        break;
      case 'begin':
        client.begin(action.slot, action.leavesAfterMs);
        break;
      case 'listen':
        client.listen(action.slot, action.withCursor);
        break;
      case 'breakOff':
        client.breakOff(action.which, action.noticedMs);
        break;
      case 'stall':
        client.stall(action.which, action.ms);
        break;
      case 'cancel':
        client.cancel(action.slot, action.which);
        break;
      case 'setLevel':
        client.setLevel(action.slot);
        break;
      case 'subscribe':
        client.subscribe(action.slot, action.uri, action.on);
        break;
      case 'delete':
        client.delete(action.slot);
        break;
      case 'roots':
        if (client.sessionId === undefined || client.over) return;
        client.tell('roots', { jsonrpc: '2.0', method: 'notifications/roots/list_changed' });
        break;
      case 'intrude':
        if (client.sessionId === undefined) return;
        client.intrude(
          action.slot,
          action.how === 'principal' ? { principal: 'stranger' } : { sessionId: 'unknown' },
        );
        break;
      case 'push':
      case 'count':
      case 'request':
        if (node?.process.state !== 'running' || client.sessionId === undefined) return;
        this.application[action.do](node, client.sessionId);
    }
  }

  private close(slot: number, node: SimNode, drainMs: number, downMs: number): void {
    node.closing = true;
    this.troubled(node, Infinity);
    void node.handle.close({ drainMs }).then(() => {
      this.scheduler.note(`--- ${node.nodeId} has closed`);
      this.scheduler.after(
        this.random.int(0, 50),
        () => {
          node.exit();
          if (this.slots[slot] === node) this.empty(slot, node, downMs);
        },
        node.process,
      );
    });
  }

  private empty(slot: number, node: SimNode, downMs: number): void {
    if (this.slots[slot] !== node) return;
    this.slots[slot] = undefined;
    this.scheduler.after(this.calm ? 0 : downMs, () => {
      if (this.slots[slot] === undefined) this.start(slot);
    });
  }

  private heal(): void {
    const { scheduler } = this;
    scheduler.note('--- from here on nothing fails');
    this.calm = true;
    this.backplane.refusal = undefined;
    this.backplane.awayUntil = scheduler.now;
    for (const node of this.slots) {
      if (node === undefined) continue;
      scheduler.resume(node.process, true);
      this.backplane.member(node.nodeId)?.link.heal();
    }
    for (const [slot, node] of this.slots.entries()) if (node === undefined) this.start(slot);
    for (const client of [...this.clients, ...this.legacyClients]) client.comeBack();
  }
}
