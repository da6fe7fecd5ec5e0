import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { onOneLine } from '../../protocol/json/json-text.js';
import { parseRecord } from '../reading/parse-record.js';
import type { AuditRecord } from '../record.js';
import { SeenRecords } from '../reading/seen-records.js';
import type { OnUnreadable, Trail, TrailQuery } from '../reading/trail.js';
import { matches } from '../reading/match-query.js';
import { linesOf } from './read-lines.js';
import type { TrailFile } from './trail-files.js';
import {
  isFinished,
  isMissing,
  listFiles,
  syncDirectory,
  TEMPORARY,
  timeIn,
} from './trail-files.js';

const DAY_MS = 24 * 60 * 60_000;

/**
 * Opens the audit trail in a directory, which `directorySink` has written. Records of a day are read in the order of delivery.
 * Memory is bounded: a record that was delivered twice is left out if it is among the last 65,536 records.
 *
 * Its functions reject if the directory cannot be read. It may be read while a sink writes.
 */
export function directoryTrail(directory: string): Trail {
  return new DirectoryTrail(directory);
}

class DirectoryTrail implements Trail {
  constructor(private readonly directory: string) {}

  async *records(
    query: TrailQuery = {},
    onUnreadable: OnUnreadable = () => undefined,
  ): AsyncGenerator<AuditRecord, void, undefined> {
    const seen = new SeenRecords();
    for (const file of await this.files()) {
      if (!overlaps(file, query)) continue;
      for await (const record of recordsOf(file, onUnreadable)) {
        if (seen.isNew(record.hash) && matches(record, query)) yield record;
      }
    }
  }

  async erase(principal: string | null): Promise<number> {
    let erased = 0;
    for (;;) {
      const pass = await this.erasePass(principal);
      erased += pass.erased;
      if (pass.inUse.length > 0) throw stillInUse(erased, pass.inUse);
      // A sink may have compressed a file while it was rewritten. So the last pass has to find nothing.
      if (pass.erased === 0) return erased;
    }
  }

  private async erasePass(principal: string | null): Promise<{ erased: number; inUse: string[] }> {
    let erased = 0;
    const inUse: string[] = [];
    for (const file of await this.files()) {
      if ((await this.count(file, principal)) === 0) continue;
      if (await isFinished(file, await timeIn(this.directory)))
        erased += await this.rewrite(file, principal);
      else inUse.push(file.name);
    }
    return { erased, inUse };
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  private async files(): Promise<TrailFile[]> {
    try {
      return await listFiles(this.directory);
    } catch (error) {
      const reason = isMissing(error) ? 'it does not exist' : String(error);
      throw new Error(`mcp-anynode: the audit trail ${this.directory} cannot be read: ${reason}`, {
        cause: error,
      });
    }
  }

  /** Returns how many records of a file still have payloads of a principal. */
  private async count(file: TrailFile, principal: string | null): Promise<number> {
    let count = 0;
    for await (const record of recordsOf(file, () => undefined)) {
      if (isErasable(record, principal)) count += 1;
    }
    return count;
  }

  /** Writes a file anew, without the payloads of a principal. All other lines stay as they are. Returns how many it erased. */
  private async rewrite(file: TrailFile, principal: string | null): Promise<number> {
    let erased = 0;
    const lines = async function* () {
      for await (const { text, isWhole } of linesOf(file)) {
        if (text === undefined) throw new Error(`${file.name} has a line that is too long`);
        const record = parseRecord(text);
        const end = isWhole ? '\n' : '';
        if (record === undefined || !isErasable(record, principal)) yield `${text}${end}`;
        else {
          erased += 1;
          yield `${onOneLine(JSON.stringify(withoutPayload(record)))}${end}`;
        }
      }
    };
    const { path } = file;
    const temporary = `${path}${TEMPORARY}`;
    const target = createWriteStream(temporary, { mode: 0o600, flush: true });
    try {
      if (file.isCompressed) await pipeline(Readable.from(lines()), createGzip(), target);
      else await pipeline(Readable.from(lines()), target);
      await rename(temporary, path);
    } catch (error) {
      await rm(temporary, { force: true });
      throw error;
    }
    await syncDirectory(this.directory);
    return erased;
  }
}

function stillInUse(erased: number, names: string[]): Error {
  return new Error(
    `mcp-anynode: the payloads of ${erased} records were erased, but ${names.join(', ')} may still be written. ` +
      'End the archiver, or wait for ten minutes after its last record, and erase again',
  );
}

async function* recordsOf(
  file: TrailFile,
  onUnreadable: OnUnreadable,
): AsyncGenerator<AuditRecord, void, undefined> {
  try {
    for await (const { number, text, isWhole } of linesOf(file)) {
      const record = text === undefined ? undefined : parseRecord(text);
      if (record !== undefined) yield record;
      // The end of a file that a dead process has left was never acknowledged, and was delivered again.
      else if (isWhole) onUnreadable(`line ${number} of ${file.name}`);
    }
  } catch (error) {
    if (!isDamaged(error)) throw error;
    onUnreadable(`the rest of ${file.name}`);
  }
}

/** True if a compressed file is damaged. */
function isDamaged(error: unknown): boolean {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('Z_');
}

function overlaps({ day }: TrailFile, { from = -Infinity, until = Infinity }: TrailQuery): boolean {
  const begin = Date.parse(day);
  return begin < until && begin + DAY_MS > from;
}

function isErasable(record: AuditRecord, principal: string | null): boolean {
  if ((record.principal ?? null) !== principal) return false;
  return record.message !== undefined || record.sealed !== undefined || record.salt !== undefined;
}

/** Returns a record without its message. Its hash does not cover what is taken away. */
function withoutPayload(record: AuditRecord): AuditRecord {
  const { message: _, sealed: __, salt: ___, ...rest } = record;
  return { ...rest, erased: true };
}
