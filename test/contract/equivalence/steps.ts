import fc from 'fast-check';
import type { ListKind } from '../../../src/backplane/backplane.js';
import { LOG_START, STANDALONE } from '../../../src/backplane/backplane.js';
import { AnynodeError } from '../../../src/protocol/errors.js';
import { newSession } from '../suite/rig.js';
import { cursor, look, operation, principal, streamIndex, token } from './operations.js';
import type { Step } from './world.js';

/** How far the clock of the former master was ahead. The log goes on after that time for a while. */
const AHEAD_MS = 5_000;

export const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 1,
    arbitrary: fc
      .record({
        hears: fc.subarray<ListKind>(['tools', 'prompts']),
        owned: fc.boolean(),
        streams: fc.array(fc.constantFrom(STANDALONE, 'init'), { maxLength: 2 }),
        asks: fc.boolean(),
      })
      .map(({ hears, owned, streams, asks }): Step => async (world, { backplane }, session) => {
        const own = world.unique();
        const name = (stream: string) => (stream === 'init' ? own : stream);
        const outbound = [...streams.map(name), own].map((stream, at) => ({
          stream,
          message: `born ${at}`,
          asks: asks && at < streams.length,
        }));
        const id = world.id(session);
        const created = await backplane
          .create(newSession({ id, hears, owned, stream: own, outbound }))
          .catch((error: unknown) => codeOf(error));
        if (typeof created === 'object') {
          world.forget(session);
          for (const position of created) world.remember(session, position);
        }
        return created;
      }),
  },
  {
    weight: 12,
    arbitrary: fc
      .record({
        templates: fc.oneof(
          { weight: 6, arbitrary: fc.array(operation, { minLength: 1, maxLength: 3 }) },
          fc.constant('again' as const),
        ),
        isClockBehind: fc.constantFrom(false, false, false, true),
      })
      .map(({ templates, isClockBehind }): Step => async (world, node, session) => {
        if (templates !== 'again') node.number += 1;
        const reply = await node.backplane.commit({
          sessionId: world.id(session),
          number: node.number,
          operations: world.operations(node, session, templates),
          ...(isClockBehind && { after: `${Date.now() + AHEAD_MS}-3` }),
        });
        if (reply.status === 'ok') {
          world.latest.set(world.id(session), reply.revision);
          for (const result of reply.results) {
            if ('position' in result) world.remember(session, result.position);
          }
        }
        return reply;
      }),
  },
  {
    weight: 4,
    arbitrary: fc
      .record({
        principal,
        token,
        index: streamIndex,
        cursor: fc.option(cursor, { nil: undefined }),
        unlessHeld: fc.boolean(),
        deadHolder: fc.constantFrom(
          undefined,
          { nodeId: 'n0', token: 't1' },
          { nodeId: 'n1', token: 't2' },
        ),
        look,
      })
      .map(({ principal: who, index, cursor: at, deadHolder, look: looked, ...parts }): Step => {
        return (world, node, session) =>
          node.attach(world.id(session), world.stream(session, at === undefined ? 0 : index), {
            principal: who,
            cursor: at === undefined ? undefined : world.cursor(session, at),
            ...parts,
            ...(deadHolder !== undefined && { deadHolder, ...looked() }),
          });
      }),
  },
  {
    weight: 3,
    arbitrary: fc
      .record({
        index: streamIndex,
        cursor,
        maxBytes: fc.constantFrom(1, 8, 1_000),
        reader: fc.option(token, { nil: undefined }),
      })
      .map(
        (parts): Step =>
          (world, { backplane }, session) =>
            backplane.read({
              sessionId: world.id(session),
              stream: world.stream(session, parts.index),
              after: world.cursor(session, parts.cursor),
              maxBytes: parts.maxBytes,
              ...(parts.reader !== undefined && { token: parts.reader }),
            }),
      ),
  },
  {
    weight: 2,
    arbitrary: fc
      .record({ index: streamIndex, token, cursor })
      .map((parts): Step => (world, { backplane }, session) => {
        const position = world.cursor(session, parts.cursor);
        const stream = world.stream(session, parts.index);
        const one = { stream, token: parts.token, position };
        return backplane.touch([
          {
            sessionId: world.id(session),
            streams: [one, { ...one, stream: STANDALONE }],
            runs: [stream],
          },
          { sessionId: 'never', streams: [one] },
        ]);
      }),
  },
  fc.constantFrom(undefined, '', 'latest', 'latest', '1.n0:1').chain((expected) =>
    fc.constantFrom('1', '2').map(
      (value): Step =>
        (world, { backplane }, session) =>
          backplane.storeState(
            world.id(session),
            value,
            expected === 'latest' ? world.versions.get(world.id(session)) : expected,
          ),
    ),
  ),
  fc.constant<Step>(async (world, { backplane }, session) => {
    const state = await backplane.loadState(world.id(session));
    if (state !== undefined) world.versions.set(world.id(session), state.version);
    return state;
  }),
  fc.constant<Step>((world, { backplane }, session) => backplane.load(world.id(session))),
  fc.constant<Step>((world, { backplane }, session) =>
    backplane.history(world.id(session), LOG_START, 100),
  ),
  principal.map(
    (who): Step =>
      (world, { backplane }, session) =>
        backplane.remove(world.id(session), who),
  ),
  { weight: 2, arbitrary: fc.constant<Step>((world, _, session) => world.copy(session)) },
  { weight: 2, arbitrary: fc.constant<Step>((world, _, session) => world.lose(session)) },
);

/** Returns the code of a refusal. Throws any other error again. */
function codeOf(error: unknown): string {
  if (error instanceof AnynodeError && error.code === 'audit_full') return error.code;
  throw error;
}
