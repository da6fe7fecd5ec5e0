import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { ENTRIES, manifestFields } from '../../scripts/entries.mjs';

interface Expected {
  /** The name of the entry, as `scripts/entries.mjs` has it. */
  name: string;
  values: string[];
  types: string[];
}

const EXPECTED: Expected[] = [
  {
    name: '.',
    values: [
      ...['AnynodeError', 'ClientError', 'anynode', 'memoryBackplane', 'redisBackplane'],
      ...['serverOptionsFor', 'stateAt'],
    ],
    types: [
      ...['Anynode', 'AnynodeErrorCode', 'AnynodeOptions', 'AppServerOptions', 'AuthInfo'],
      ...[
        'Backplane',
        'CloseOptions',
        'Directory',
        'EventOptions',
        'ExpressPrototypes',
        'FetchHandler',
        'FetchOptions',
        'Health',
      ],
      ...['ListeningServer', 'Logger', 'Modern', 'ModernHandler', 'Notify', 'OpenRequest'],
      ...['Redact', 'RedactContext', 'RedisBackplaneOptions', 'RequestOptions', 'ResultSchema'],
      ...['ServerContext', 'ServerLike', 'ServerTransport', 'SessionEvent', 'SessionEventType'],
      ...['SessionHandle', 'SessionInfo', 'SessionSnapshot', 'SessionState'],
    ],
  },
  {
    name: 'sdk-stores',
    values: ['sdkStores'],
    types: [
      ...['EventStore', 'QueuedMessage', 'SdkStores', 'SdkStoresOptions', 'ServerEvent'],
      ...['ServerEventBus', 'Task', 'TaskMessageQueue', 'TaskOptions', 'TaskStore'],
    ],
  },
  {
    name: 'legacy-sse',
    values: ['legacySse'],
    types: ['LegacySseOptions'],
  },
  {
    name: 'observe',
    values: ['observe'],
    types: [
      ...['NodeInfo', 'NodeStats', 'ObserveOptions', 'Observer', 'RedisInfo', 'RequestInfo'],
      ...['SessionDetails', 'SessionPage', 'SessionQuery', 'SessionStats', 'SessionSummary'],
      ...['Stats', 'StreamInfo', 'Traffic'],
    ],
  },
  {
    name: 'monitor',
    values: ['monitor'],
    types: ['Monitor', 'MonitorOptions'],
  },
  {
    name: 'codec',
    values: ['aesGcmCodec'],
    types: ['AesGcmOptions', 'PayloadCodec', 'PayloadContext'],
  },
  {
    name: 'telemetry',
    values: ['telemetry'],
    types: ['Telemetry', 'TelemetryOptions'],
  },
  {
    name: 'audit',
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
    name: 'lambda',
    values: ['lambdaHandler'],
    types: [
      ...['FetchServer', 'LambdaContext', 'LambdaEvent', 'LambdaHandler', 'LambdaOptions'],
      ...['LambdaResult'],
    ],
  },
  {
    name: 'backplane',
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
        ...['ExchangeOperation', 'ForgetOperation'],
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
    name: 'backplane-suite',
    values: ['describeBackplane', 'describeSdkStores'],
    types: ['OpenStore', 'Store'],
  },
];

it('the package has these entries and no others', () => {
  expect(ENTRIES.map(({ name }) => name)).toEqual(EXPECTED.map(({ name }) => name));
});

it('package.json names the files of the entries', async () => {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  // `node scripts/entries.mjs` writes them.
  expect(JSON.parse(text)).toMatchObject(manifestFields());
});

it.each(EXPECTED)('$name exports these names and no others', async ({ name, values, types }) => {
  const { source = '' } = ENTRIES.find((entry) => entry.name === name) ?? {};
  const url = new URL(`../../${source}`, import.meta.url);
  const exported = (await import(url.href)) as object;
  expect(Object.keys(exported).sort()).toEqual(values);
  const text = await readFile(url, 'utf8');
  const names = [...text.matchAll(/^export type \{([^}]*)\}/gm)].flatMap(([, list = '']) =>
    list.split(',').flatMap((each) => (each.trim() === '' ? [] : [each.trim()])),
  );
  expect(text).not.toContain('export *');
  expect(names.sort()).toEqual(types);
});
