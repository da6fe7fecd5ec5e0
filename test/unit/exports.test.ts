import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import * as index from '../../src/index.js';

it('the package exports these names and no others', () => {
  expect(Object.keys(index).sort()).toEqual([
    'AnynodeError',
    'ClientError',
    'aesGcmCodec',
    'anynode',
    'legacySse',
    'memoryBackplane',
    'observe',
    'redisBackplane',
    'seams',
    'serverOptionsFor',
    'stateAt',
  ]);
});

it('the package exports these types and no others', () => {
  const text = readFileSync(new URL('../../src/index.ts', import.meta.url), 'utf8');
  const names = [...text.matchAll(/^export type \{([^}]*)\}/gm)].flatMap(([, list = '']) =>
    list.split(',').flatMap((name) => (name.trim() === '' ? [] : [name.trim()])),
  );
  expect(text).not.toContain('export *');
  expect(names.sort()).toEqual([
    'AesGcmOptions',
    'Anynode',
    'AnynodeErrorCode',
    'AnynodeOptions',
    'AppServerOptions',
    'AuthInfo',
    'Backplane',
    'CloseOptions',
    'Directory',
    'EventOptions',
    'EventStore',
    'ExpressPrototypes',
    'Health',
    'LegacySseOptions',
    'ListeningServer',
    'Logger',
    'Modern',
    'ModernHandler',
    'NodeInfo',
    'Notify',
    'ObserveOptions',
    'Observer',
    'OpenRequest',
    'PayloadCodec',
    'PayloadContext',
    'QueuedMessage',
    'Redact',
    'RedactContext',
    'RedisBackplaneOptions',
    'RequestInfo',
    'RequestOptions',
    'ResultSchema',
    'Seams',
    'SeamsOptions',
    'ServerContext',
    'ServerEvent',
    'ServerEventBus',
    'ServerLike',
    'ServerTransport',
    'SessionDetails',
    'SessionEvent',
    'SessionEventType',
    'SessionHandle',
    'SessionInfo',
    'SessionSnapshot',
    'SessionState',
    'SessionStats',
    'Stats',
    'StreamInfo',
    'Task',
    'TaskMessageQueue',
    'TaskOptions',
    'TaskStore',
    'Traffic',
  ]);
});
