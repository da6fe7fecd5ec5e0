/** Writes records into the directory of the first argument, and prints the number of the last one that was acknowledged. */
import { directorySink } from '../../../src/audit/directory/directory-sink.js';
import { RecordMaker } from './records.js';

const sink = directorySink(process.argv[2] ?? '', { maxFileBytes: 30_000 });
const maker = new RecordMaker();
const message = { jsonrpc: '2.0' as const, method: 'x', params: { text: 'x'.repeat(500) } };
for (;;) {
  const records = Array.from({ length: 7 }, () => maker.next('session', { message }));
  await sink.write(records);
  process.stdout.write(`${records.at(-1)?.ordinal ?? 0}\n`);
}
