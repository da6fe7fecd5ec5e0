import fc from 'fast-check';
import { LOG_START, LOOK_HOLDS_MS, RELEASED } from '../../../src/backplane/backplane.js';
import { ALICE, MALLORY } from '../suite/rig.js';
import type { Cursor, Template } from './world.js';

const FRESH_MS = 100;
/** In a step that takes longer than this, a fresh look may count as too old. */
export const TOO_SLOW_MS = LOOK_HOLDS_MS - 2 * FRESH_MS;

export const principal = fc.constantFrom(ALICE, ALICE, ALICE, ALICE, MALLORY);
export const token = fc.constantFrom('t1', 't2');
const request = fc.constantFrom('0', '1', '"1"');
export const streamIndex = fc.constantFrom(0, 0, 1, 1, 2, 3);
const executor = fc.constantFrom('n0', 'n1', 'n2', RELEASED);
const revision = fc.constantFrom(undefined, '1', 'latest', 'latest', '2.n0:1.');
const uri = fc.constantFrom('file:///a', 'file:///b');
export const cursor: fc.Arbitrary<Cursor> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ seen: fc.nat(30), move: fc.constantFrom(0, 0, 0, -1, 1) }) },
  fc.record({ n: fc.nat(4), logId: fc.constantFrom(LOG_START, '99999999999999-0') }),
);

/**
 * When the node was found dead: just now, too long ago, or at a time that lies in the future of a clock that was set back.
 * All times are far from the bounds, so that a busy machine does not change the outcome (see `TOO_SLOW_MS`).
 */
export const look: fc.Arbitrary<() => { lookedAt?: number }> = fc
  .constantFrom(undefined, -FRESH_MS, -FRESH_MS, -60_000, 60_000)
  .map((ms) => () => (ms === undefined ? {} : { lookedAt: Date.now() + ms }));

export const operation: fc.Arbitrary<Template> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .record({
        principal,
        token,
        revision,
        requests: fc.uniqueArray(request, { minLength: 1, maxLength: 2 }),
        owned: fc.boolean(),
        most: fc.constantFrom(undefined, undefined, 2),
      })
      .map(({ most, ...parts }): Template => (world, session) => ({
        type: 'open',
        ...parts,
        revision: world.revision(session, parts.revision),
        ...(most !== undefined && { most }),
        stream: world.opened(session),
        messages: parts.requests.map((id) => `call ${id}`),
      })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        principal,
        revision,
        request,
        failed: fc.boolean(),
        most: fc.constantFrom(undefined, undefined, 2),
      })
      .map(({ most, ...parts }): Template => (world, session) => ({
        ...{ type: 'exchange', message: `call ${parts.request}`, answer: 'answer' },
        ...parts,
        revision: world.revision(session, parts.revision) ?? '1',
        ...(most !== undefined && { most }),
        stream: world.opened(session),
      })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        principal,
        revision,
        route: fc.oneof(
          fc.constantFrom(
            { to: 'replicas' as const },
            { to: 'initialized' as const },
            { to: 'initialized' as const, owned: true },
            { to: 'here' as const },
            { to: 'owner' as const },
            { to: 'nobody' as const },
          ),
          fc.constantFrom('n0', 'n1', 'n2').map((nodeId) => ({ to: 'node' as const, nodeId })),
          request.map((id) => ({ to: 'executor' as const, request: id })),
        ),
      })
      .map((parts): Template => (world, session) => ({
        type: 'receive',
        ...parts,
        revision: world.revision(session, parts.revision),
        message: 'said',
      })),
  },
  {
    weight: 8,
    arbitrary: fc
      .record(
        {
          index: streamIndex,
          message: fc.constantFrom('text', 'other text', '', undefined),
          ends: request,
          mark: fc.constantFrom({ asks: true }, { failed: true }),
          effect: fc.oneof(
            fc.record({ type: fc.constant('level' as const), level: fc.constant('debug') }),
            fc.record({ type: fc.constantFrom('subscribe', 'unsubscribe'), uri }),
            fc.constant({
              ...{ type: 'initialize' as const, hears: ['prompts' as const] },
              ...{ params: '{"again":true}', protocolVersion: '2025-11-25' },
            }),
          ),
          onlyIf: fc.oneof(
            fc.record({ hears: fc.constantFrom('tools' as const, 'prompts' as const) }),
            fc.record({ subscribed: uri }),
            fc.constantFrom({ owned: true as const }, { unbegun: true as const }),
            fc.constant({ after: true as const }),
            streamIndex.map((executes) => ({ executes })),
          ),
          coalesce: fc.constantFrom('tools', 'file:///a'),
        },
        { requiredKeys: ['index', 'message'] },
      )
      .map(({ index, ends, onlyIf, mark, ...parts }): Template => (world, session) => ({
        type: 'append',
        stream: world.stream(session, index),
        ...mark,
        ...parts,
        ...(onlyIf !== undefined && {
          onlyIf:
            'executes' in onlyIf ? { executes: world.stream(session, onlyIf.executes) } : onlyIf,
        }),
        // A request never ends the standalone stream. It ends with its session.
        ...(ends !== undefined && index > 0 && { ends }),
      })),
  },
  fc
    .record({ index: streamIndex, token, cursor, neverUsed: fc.boolean() })
    .map(({ index, cursor: at, ...parts }): Template => (world, session) => ({
      type: 'detach',
      ...parts,
      stream: world.stream(session, index),
      position: world.cursor(session, at),
    })),
  streamIndex.map((index): Template => (world, session) => ({
    type: 'hangup',
    stream: world.stream(session, index),
  })),
  fc
    .record({ index: streamIndex, requests: fc.uniqueArray(request, { maxLength: 2 }) })
    .map(({ index, requests }): Template => (world, session) => ({
      type: 'abandon',
      stream: world.stream(session, index),
      requests,
    })),
  {
    weight: 3,
    arbitrary: fc
      .record({ index: streamIndex, from: executor, look, revision, owned: fc.boolean() })
      .map(({ index, look: looked, ...parts }): Template => (world, session) => ({
        type: 'claim',
        stream: world.stream(session, index),
        ...parts,
        ...looked(),
        revision: world.revision(session, parts.revision),
      })),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({
        index: fc.option(streamIndex, { nil: undefined }),
        dead: fc.constantFrom(undefined, undefined, 'n0', 'n1'),
        look,
        revision,
      })
      .map(({ index, look: looked, ...parts }): Template => (world, session) => ({
        type: 'assign',
        stream: index === undefined ? undefined : world.stream(session, index),
        ...parts,
        ...looked(),
        revision: world.revision(session, parts.revision),
      })),
  },
  streamIndex.map((index): Template => (world, session) => ({
    type: 'release',
    stream: world.stream(session, index),
  })),
  fc
    .record({
      kind: fc.constantFrom('request.recovered', 'request.failed'),
      index: streamIndex,
      request,
      from: fc.constantFrom('n0', undefined),
      ifAppended: fc.boolean(),
    })
    .map(({ index, ...parts }): Template => (world, session) => ({
      type: 'note',
      ...parts,
      stream: world.stream(session, index),
    })),
  fc.constant<Template>(() => ({ type: 'forget' })),
);
