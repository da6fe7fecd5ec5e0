/**
 * Writes records into the directory of the first argument until a file can grow no more, and goes on. Prints how many batches
 * were refused, as JSON. It is run with a limit for the size of files.
 */
import { readdirSync } from 'node:fs';
import { directorySink } from '../../../src/audit/directory/directory-sink.js';
import { RecordMaker } from './records.js';

const directory = process.argv[2] ?? '';
const sink = directorySink(directory, { compress: false });
const maker = new RecordMaker();
const batch = (count: number) =>
  Array.from({ length: count }, () =>
    maker.next('session', {
      message: { jsonrpc: '2.0', method: 'x', params: { text: 'x'.repeat(900) } },
    }),
  );
const isRefused = (records: ReturnType<typeof batch>) =>
  sink.write(records).then(
    () => false,
    () => true,
  );

// A batch that fits into no file.
const large = batch(500);
const tooLarge = [await isRefused(large), await isRefused(large), await isRefused(large)];
const left = readdirSync(directory);
const refused: number[] = [];
for (let at = 0; at < 60; at += 1) {
  const records = batch(7);
  while (await isRefused(records)) refused.push(at);
}
await sink.close?.();
process.stdout.write(JSON.stringify({ tooLarge, left, refused }));
