import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';

interface Entry {
  /** What `package.json` calls it. */
  name: string;
  /** Its file without `.ts`, below `src`. */
  file: string;
  values: string[];
  types: string[];
}

const ENTRIES: Entry[] = [
  {
    name: '.',
    file: 'index',
    values: [
      ...['AnynodeError', 'ClientError', 'anynode', 'memoryBackplane', 'redisBackplane'],
      ...['serverOptionsFor', 'stateAt'],
    ],
    types: [
      ...['Anynode', 'AnynodeErrorCode', 'AnynodeOptions', 'AppServerOptions', 'AuthInfo'],
      ...['Backplane', 'CloseOptions', 'Directory', 'EventOptions', 'ExpressPrototypes', 'Health'],
      ...['ListeningServer', 'Logger', 'Modern', 'ModernHandler', 'Notify', 'OpenRequest'],
      ...['Redact', 'RedactContext', 'RedisBackplaneOptions', 'RequestOptions', 'ResultSchema'],
      ...['ServerContext', 'ServerLike', 'ServerTransport', 'SessionEvent', 'SessionEventType'],
      ...['SessionHandle', 'SessionInfo', 'SessionSnapshot', 'SessionState'],
    ],
  },
  {
    name: './sdk-stores',
    file: 'sdk-stores/index',
    values: ['sdkStores'],
    types: [
      ...['EventStore', 'QueuedMessage', 'SdkStores', 'SdkStoresOptions', 'ServerEvent'],
      ...['ServerEventBus', 'Task', 'TaskMessageQueue', 'TaskOptions', 'TaskStore'],
    ],
  },
  {
    name: './legacy-sse',
    file: 'legacy-sse/index',
    values: ['legacySse'],
    types: ['LegacySseOptions'],
  },
  {
    name: './observe',
    file: 'operator/index',
    values: ['observe'],
    types: [
      ...['NodeInfo', 'ObserveOptions', 'Observer', 'RequestInfo', 'SessionDetails'],
      ...['SessionStats', 'Stats', 'StreamInfo', 'Traffic'],
    ],
  },
  {
    name: './codec',
    file: 'codec/index',
    values: ['aesGcmCodec'],
    types: ['AesGcmOptions', 'PayloadCodec', 'PayloadContext'],
  },
];

it('the package has these entries and no others', async () => {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  const { exports } = JSON.parse(text) as { exports: Record<string, unknown> };
  const entries = ENTRIES.map(({ name, file }) => [
    name,
    { types: `./dist/${file}.d.ts`, default: `./dist/${file}.js` },
  ]);
  const expected: unknown = Object.fromEntries([...entries, ['./package.json', './package.json']]);
  expect(exports).toEqual(expected);
});

it.each(ENTRIES)('$name exports these names and no others', async ({ file, values, types }) => {
  const source = new URL(`../../src/${file}.ts`, import.meta.url);
  const exported = (await import(source.href)) as object;
  expect(Object.keys(exported).sort()).toEqual(values);
  const text = await readFile(source, 'utf8');
  const names = [...text.matchAll(/^export type \{([^}]*)\}/gm)].flatMap(([, list = '']) =>
    list.split(',').flatMap((name) => (name.trim() === '' ? [] : [name.trim()])),
  );
  expect(text).not.toContain('export *');
  expect(names.sort()).toEqual(types);
});
