import type { Operation, Position } from '../../../src/backplane/backplane.js';
import { LOG_START, STANDALONE } from '../../../src/backplane/backplane.js';
import type { TestNode } from '../suite/rig.js';
import type { GoBack, Replicate } from './replicas.js';

export const SESSIONS = 2;

/** Fields whose text is a log id. */
const LOG_ID_KEYS = new Set(['logId', 'scanned', 'before']);

/** A position that a node has seen, moved by a few numbers, or one from beyond the log. */
export type Cursor = { seen: number; move: number } | { logId: string; n: number };
export type Template = (world: World, session: number) => Operation;
export type Step = (world: World, node: TestNode, session: number) => Promise<unknown>;

/**
 * What one backplane has returned so far. Both backplanes carry out the same steps, so the same index means the same in
 * both.
 */
export class World {
  readonly nodes: TestNode[] = [];
  /** Log ids differ between the two backplanes. The order in which they were first seen must be the same. */
  private readonly names = new Map<string, string>();
  private positions: Position[][] = [];
  private streams: string[][] = [];
  private last = new Map<string, Operation[]>();
  private ids: string[] = [];
  /** Counts the sessions that have had the same id. Two sessions of one id may have the same log ids by chance. */
  private readonly lives = new Map<string, number>();
  /** For each session, the function that restores its last copy. */
  private readonly copies = new Map<string, GoBack>();
  /** For each session, the last revision and the last version of the state that were seen. */
  readonly latest = new Map<string, string>();
  readonly versions = new Map<string, string>();
  private count = 0;

  constructor(private readonly replicate: Replicate) {}

  begin(run: string): void {
    this.names.clear();
    this.lives.clear();
    this.copies.clear();
    this.last.clear();
    this.ids = [];
    this.positions = [];
    this.streams = [];
    this.count = 0;
    for (let at = 0; at < SESSIONS; at += 1) {
      this.ids.push(`${run}-${at}`);
      this.positions.push([]);
      this.streams.push([]);
    }
  }

  id(session: number): string {
    return this.ids[session] ?? '';
  }

  unique(): string {
    this.count += 1;
    return `u${this.count}`;
  }

  revision(session: number, revision: string | undefined): string | undefined {
    return revision === 'latest' ? this.latest.get(this.id(session)) : revision;
  }

  opened(session: number): string {
    const stream = this.unique();
    this.streams[session]?.push(stream);
    return stream;
  }

  /** The standalone stream, or one of the last streams that were opened. */
  stream(session: number, index: number): string {
    const streams = this.streams[session] ?? [];
    return index === 0 ? STANDALONE : (streams.at(-index) ?? 'never');
  }

  cursor(session: number, cursor: Cursor): Position {
    if ('logId' in cursor) return cursor;
    const positions = this.positions[session] ?? [];
    const seen = positions[cursor.seen % Math.max(positions.length, 1)];
    if (seen === undefined) return { n: 0, logId: LOG_START };
    return { n: Math.max(0, seen.n + cursor.move), logId: seen.logId };
  }

  remember(session: number, position: Position): void {
    this.positions[session]?.push(position);
  }

  forget(session: number): void {
    this.positions[session] = [];
    this.count += 1;
    this.lives.set(this.id(session), this.count);
  }

  private lifeOf(sessionId: string): number {
    return this.lives.get(sessionId) ?? 0;
  }

  /** Copies the session, as a Redis replica would have it now. */
  async copy(session: number): Promise<void> {
    const id = this.id(session);
    const life = this.lifeOf(id);
    const goBack = await this.replicate(id);
    this.copies.set(id, async () => {
      await goBack();
      this.lives.set(id, life);
    });
  }

  /** Restores the last copy of the session. The nodes keep what they have seen. */
  async lose(session: number): Promise<void> {
    await this.copies.get(this.id(session))?.();
  }

  operations(node: TestNode, session: number, templates: Template[] | 'again'): Operation[] {
    const key = `${node.id} ${session}`;
    const operations =
      templates === 'again'
        ? (this.last.get(key) ?? [])
        : templates.map((template) => template(this, session));
    this.last.set(key, operations);
    return operations;
  }

  /**
   * Returns a reply or message without the parts in which two runs of the same steps may differ. Two sessions may have
   * the same log id by chance, so ids are told apart by `sessionId`.
   */
  plain(value: unknown, sessionId: string): unknown {
    if (Array.isArray(value)) return value.map((item) => this.plain(item, sessionId));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, item]: [string, unknown]) => {
        if (key === 'createdAt' || key === 'lastSeenAt' || key === 'at') return [key, 0];
        if (key === 'subscriptions' || key === 'requests')
          return [key, [...(item as string[])].sort()];
        const isLogId = LOG_ID_KEYS.has(key) && item !== LOG_START;
        return [
          key,
          isLogId ? this.nameOf(item as string, sessionId) : this.plain(item, sessionId),
        ];
      }),
    );
  }

  private nameOf(logId: string, sessionId: string): string {
    const key = `${sessionId} ${this.lifeOf(sessionId)} ${logId}`;
    const name = this.names.get(key) ?? `log id ${this.names.size}`;
    this.names.set(key, name);
    return name;
  }
}
