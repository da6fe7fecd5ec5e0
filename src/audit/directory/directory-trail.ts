import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { onOneLine } from '../../protocol/json/json-text.js';
import { parseRecord } from '../reading/parse-record.js';
import type { AuditRecord } from '../record.js';
import { SeenRecords } from '../reading/seen-records.js';
import type { OnUnreadable, Trail, TrailQuery } from '../reading/trail.js';
import { matches } from '../reading/match-query.js';
import { linesOf } from './read-lines.js';
import { FileInUse, removeAbandoned, replaceFile, writeChunks } from './replace-file.js';
import type { TrailFile } from './trail-files.js';
import { isFinished, isMissing, listAllFiles, listFiles, timeIn } from './trail-files.js';

const NEWLINE = Buffer.from('\n');
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
    for (const file of await this.list(listFiles)) {
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
      if (pass.inUse.length > 0 || pass.damaged.length > 0) throw notAllErased(erased, pass);
      // A sink may have compressed a file while it was rewritten. So the last pass has to find nothing.
      if (!pass.hasChanged) return erased;
    }
  }

  private async erasePass(principal: string | null): Promise<ErasePass> {
    const pass: ErasePass = { erased: 0, hasChanged: false, inUse: [], damaged: [] };
    await this.list(removeAbandoned);
    for (const file of await this.list(listAllFiles)) {
      try {
        const found = await this.payloadsIn(file, principal);
        if (found === 'none') continue;
        if (await isFinished(file, await timeIn(this.directory))) {
          pass.erased += await this.rewrite(file, principal);
          pass.hasChanged = true;
        } else if (found === 'records') pass.inUse.push(file.name);
      } catch (error) {
        if (error instanceof FileInUse) pass.inUse.push(file.name);
        else if (isDamaged(error)) pass.damaged.push(file.name);
        // It was compressed meanwhile, or its day was removed.
        else if (isMissing(error)) pass.hasChanged = true;
        else throw error;
      }
    }
    return pass;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  private async list<T>(read: (directory: string) => Promise<T>): Promise<T> {
    try {
      return await read(this.directory);
    } catch (error) {
      const reason = isMissing(error) ? 'it does not exist' : String(error);
      throw new Error(`mcp-anynode: the audit trail ${this.directory} cannot be read: ${reason}`, {
        cause: error,
      });
    }
  }

  /** Says whether a file has payloads of a principal. */
  private async payloadsIn(
    file: TrailFile,
    principal: string | null,
  ): Promise<'records' | 'half a line' | 'none'> {
    try {
      for await (const { bytes, isWhole } of linesOf(file)) {
        const record = bytes && parseRecord(bytes.toString());
        if (record === undefined && !isWhole) return 'half a line';
        if (record !== undefined && isErasable(record, principal)) return 'records';
      }
    } catch (error) {
      if (!isDamaged(error)) throw error;
    }
    return 'none';
  }

  /** Writes a file anew, without the payloads of a principal. All other lines stay as they are. Returns how many it erased. */
  private async rewrite(file: TrailFile, principal: string | null): Promise<number> {
    let erased = 0;
    const lines = async function* (): AsyncGenerator<Buffer, void, undefined> {
      for await (const { bytes, isWhole } of linesOf(file)) {
        if (bytes === undefined) throw new Error(`${file.name} has a line that is too long`);
        const record = parseRecord(bytes.toString());
        // The line was never acknowledged, and may have a payload of any principal.
        if (record === undefined && !isWhole) return;
        if (record === undefined || !isErasable(record, principal)) yield bytes;
        else {
          erased += 1;
          yield Buffer.from(onOneLine(JSON.stringify(withoutPayload(record))));
        }
        if (isWhole) yield NEWLINE;
      }
    };
    const { path, isCompressed } = file;
    await replaceFile(isCompressed ? path.slice(0, -'.gz'.length) : path, path, async (handle) => {
      // If a plain file is gone, its lines would be read from the compressed one.
      const { atime, mtime } = await stat(path);
      if (!isCompressed) await writeChunks(handle, lines());
      else
        await pipeline(lines(), createGzip(), (packed: AsyncIterable<Buffer>) =>
          writeChunks(handle, packed),
        );
      // It is as finished as it was. With the time of now, it would count as one that may still be written.
      await handle.utimes(atime, mtime);
    });
    return erased;
  }
}

interface ErasePass {
  erased: number;
  hasChanged: boolean;
  inUse: string[];
  damaged: string[];
}

function notAllErased(erased: number, { inUse, damaged }: ErasePass): Error {
  const reasons = [
    ...(inUse.length > 0
      ? [
          `${inUse.join(', ')} may still be written. ` +
            'End the archiver and others that erase, or wait for ten minutes after its last record, and erase again',
        ]
      : []),
    ...(damaged.length > 0
      ? [`${damaged.join(', ')} cannot be read to the end. Replace it by a copy, or remove it`]
      : []),
  ];
  return new Error(
    `mcp-anynode: the payloads of ${erased} records were erased, but ${reasons.join('; and ')}`,
  );
}

async function* recordsOf(
  file: TrailFile,
  onUnreadable: OnUnreadable,
): AsyncGenerator<AuditRecord, void, undefined> {
  try {
    for await (const { number, bytes, isWhole } of linesOf(file)) {
      const record = bytes && parseRecord(bytes.toString());
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
