import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';

interface Entry {
  /** The name of the entry in `package.json`. */
  name: string;
  /** The path of its file below `dist`, without `.js`. */
  file: string;
  /** The path of its source without `.ts`. Default: the same path below `src`. */
  source?: string;
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
      ...['NodeInfo', 'NodeStats', 'ObserveOptions', 'Observer', 'RedisInfo', 'RequestInfo'],
      ...['SessionDetails', 'SessionPage', 'SessionQuery', 'SessionStats', 'SessionSummary'],
      ...['Stats', 'StreamInfo', 'Traffic'],
    ],
  },
  {
    name: './monitor',
    file: 'monitor/index',
    values: ['monitor'],
    types: ['Monitor', 'MonitorOptions'],
  },
  {
    name: './codec',
    file: 'codec/index',
    values: ['aesGcmCodec'],
    types: ['AesGcmOptions', 'PayloadCodec', 'PayloadContext'],
  },
  {
    name: './telemetry',
    file: 'telemetry/index',
    values: ['telemetry'],
    types: ['Telemetry', 'TelemetryOptions'],
  },
  {
    name: './audit',
    file: 'audit/index',
    values: [
      ...['archive', 'archivedSessions', 'directorySink', 'directoryTrail', 'openTrail'],
      ...['postgresSink', 'postgresTrail', 'verifyTrail'],
    ],
    types: [
      ...['Archive', 'ArchiveOptions', 'ArchivedOptions', 'ArchivedSessions', 'AuditOptions'],
      ...['AuditOutcome', 'AuditRecord', 'AuditRecordType', 'AuditSink', 'AuditTarget'],
      ...['DirectorySinkOptions', 'OnUnreadable', 'PostgresClient', 'PostgresOptions'],
      ...['PostgresPool', 'Trail', 'TrailProblem', 'TrailQuery', 'Verification', 'VerifyOptions'],
    ],
  },
  {
    name: './backplane',
    file: 'backplane/index',
    values: [
      ...['ANY_PRINCIPAL', 'AnynodeError', 'FIRST_REVISION', 'KEPT_BROADCASTS', 'LOG_START'],
      ...['LOOK_HOLDS_MS', 'RELEASED', 'RESUMED_EVERY_MS', 'STANDALONE', 'TooManySessions'],
      ...['UNKNOWN_REVISION', 'coalescedByUri', 'compareLogIds', 'isReleased', 'isTerminal'],
      ...['nextRevision', 'pendingWeight'],
    ],
    types: [
      ...['AbandonOperation', 'AnynodeErrorCode', 'AppendOperation', 'ApplicationState'],
      ...['AssignOperation', 'AttachReply', 'AttachRequest', 'AuditOutboxes', 'Backplane'],
      'BackplaneClock',
      ...['BackplaneHealth', 'BroadcastListener', 'Broadcasts', 'ClaimOperation', 'Clock'],
      ...[
        'Commit',
        'CommitReply',
        'Commits',
        'Condition',
        'Delivered',
        'DetachOperation',
        'Effect',
      ],
      ...[
        'EndsReply',
        'EndsRequest',
        'ForgetOperation',
        'HangUpOperation',
        'Holder',
        'JoinOptions',
        'JoinedBackplane',
      ],
      ...['ListKind', 'ListedTask', 'LogEntry', 'LogId', 'NewSession', 'NewTask'],
      ...['NodeInboxes', 'NodeLeases', 'NodeMessage', 'Note', 'NoteOperation', 'OpenOperation'],
      ...['OpenStream', 'Operation', 'OperationResult', 'OutboxCheckpoint', 'OutboxEntry'],
      ...['OutboxLimits', 'OutboxPage', 'OutboxReply', 'Page', 'Position', 'ReadRequest'],
      ...['ReceiveOperation', 'ReleaseOperation', 'ReplayPage', 'Replays', 'Revision', 'Route'],
      ...['SdkStoreAccess', 'SessionIdentity', 'SessionRecord', 'SessionRecords'],
      ...['SessionStore', 'StoredState', 'StreamEvent', 'StreamName', 'Streams', 'TaskChange'],
      ...['TaskChanged', 'TaskRecord', 'TaskStatus', 'Tasks', 'TouchReply', 'TouchRequest'],
    ],
  },
  {
    name: './backplane-suite',
    file: 'backplane-suite/suite/index',
    source: 'test/contract/suite/index',
    values: ['describeBackplane', 'describeSdkStores'],
    types: ['OpenStore', 'Store'],
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

it.each(ENTRIES)(
  '$name exports these names and no others',
  async ({ file, values, types, ...entry }) => {
    const source = new URL(`../../${entry.source ?? `src/${file}`}.ts`, import.meta.url);
    const exported = (await import(source.href)) as object;
    expect(Object.keys(exported).sort()).toEqual(values);
    const text = await readFile(source, 'utf8');
    const names = [...text.matchAll(/^export type \{([^}]*)\}/gm)].flatMap(([, list = '']) =>
      list.split(',').flatMap((name) => (name.trim() === '' ? [] : [name.trim()])),
    );
    expect(text).not.toContain('export *');
    expect(names.sort()).toEqual(types);
  },
);
