import { methodsOf } from '../simulation/mutants/mutant.js';
import { replaceInScript } from './lua.js';

/**
 * A fault that a change could introduce, and that a test finds. The faults that the simulator finds are in test/simulation.
 */
export interface TestedMutant {
  name: string;
  /** The file of the test. */
  test: string;
  /** A part of the test's name. If it is empty, all tests of the file are run. */
  named: string;
  /**
   * Replaces functions or methods, for the rest of this process. It loads what it replaces itself, because no module may be
   * loaded before the mutant is chosen. The name of a method that was renamed is a type error. The name of a Lua function
   * that was renamed is an error at run time.
   */
  plant: () => unknown;
}

export const TESTED_MUTANTS: TestedMutant[] = [
  {
    name: 'a node counts as dead although the look at it is too old',
    test: 'test/contract/redis.test.ts',
    named: 'takes a request from its executor if the look is recent',
    plant: () => replaceInScript('dead-nodes', { isStale: 'function() return false end' }),
  },
  {
    name: 'a node counts as dead after one look that finds no lease',
    test: 'test/unit/node-watch.test.ts',
    named: '',
    async plant() {
      const { NodeWatch } = await import('../../src/stream/node-watch.js');
      const original = methodsOf(NodeWatch.prototype);
      NodeWatch.prototype['look'] = async function (nodeIds) {
        const sights = await original['look'].call(this, nodeIds);
        for (const [nodeId, sight] of sights) if (sight === 'missing') sights.set(nodeId, 'dead');
        return sights;
      };
    },
  },
  {
    name: 'an archiver acknowledges an entry that a failover has replaced',
    test: 'test/contract/redis-audit.test.ts',
    named: 'is `changed` for an archiver whose last entry is not the one that it has read',
    plant: () => replaceInScript('audit/checkpoint', { hasEntry: 'function() return true end' }),
  },
  {
    name: 'an outbox obeys an archiver after another one has claimed it',
    test: 'test/contract/redis.test.ts',
    named: 'obeys only the archiver that has claimed it last',
    plant: () => replaceInScript('audit/checkpoint', { refusalOf: 'function() return nil end' }),
  },
  {
    name: 'an expired session has no end in the audit trail if another one gets its id',
    test: 'test/contract/redis-audit.test.ts',
    named: 'ends the chain of an expired session when another session gets its id',
    plant: () => replaceInScript('audit/created-entry', { endFormer: 'function() end' }),
  },
  {
    name: 'calls of an abandoned connection still take effect',
    test: 'test/contract/redis-late.test.ts',
    named: 'has no effect',
    async plant() {
      const { ConnectionFence } =
        await import('../../src/backplane/redis/connection/connection-fence.js');
      ConnectionFence.prototype.pass = function (_server, socket) {
        this.passUnfenced(socket);
        return Promise.resolve();
      };
    },
  },
  {
    name: 'a repeated `initialized` is handed to the server again',
    test: 'test/contract/redis.test.ts',
    named: 'changes nothing: initialized',
    plant: () =>
      replaceInScript('commit/step', {
        get: "function(name) return name ~= 'ini' and original(name) end",
      }),
  },
  {
    name: 'a repeated cancellation is not passed on to the executor',
    test: 'test/contract/redis.test.ts',
    named: 'a cancellation of a call that the owner has begun in between',
    plant: () =>
      replaceInScript(
        'wake-ups',
        { tell: 'function(...) if not step.repeated then original(...) end end' },
        'commit/owner',
      ),
  },
  {
    name: 'a node does not learn that a commit has made it the owner',
    test: 'test/contract/redis.test.ts',
    named: 'learns with a commit that makes it the owner that its replica is outdated',
    plant: () => replaceInScript('commit/owner', { becameOwner: 'function() return false end' }),
  },
  {
    name: 'a step is published before it is written',
    test: 'test/contract/redis-refused.test.ts',
    named: '',
    plant: () =>
      replaceInScript('wake-ups', {
        tell: `function(channels, node, line, payload)
          redis.pcall('PUBLISH', channels .. node, '1 ' .. line .. '\\n' .. (payload or ''))
        end`,
      }),
  },
  {
    name: 'the field with the last notification of a resource stays when the subscription ends',
    test: 'test/contract/redis-keys.test.ts',
    named: 'no field left of subscriptions',
    plant: () =>
      replaceInScript('commit/append', {
        shape: `function(effect, value)
          local replaced = set
          set = function(name, to) if string.sub(name, 1, 2) ~= 'c:' then replaced(name, to) end end
          original(effect, value)
          set = replaced
        end`,
      }),
  },
  {
    name: 'missed messages are looked for by the clock of the node',
    test: 'test/cluster/clocks.test.ts',
    named: '960000 ms, then 960000 ms',
    async plant() {
      const { CatchUp } = await import('../../src/execution/recovery/catch-up.js');
      const original = methodsOf(CatchUp.prototype);
      CatchUp.prototype['catchUpOn'] = function (sessionId) {
        const { node } = { node: this['node'] };
        const timeOf = () => Promise.resolve(node.clock.now());
        const joined = Object.create(node.backplane, { timeOf: { value: timeOf } }) as unknown;
        const by = { node: { value: { ...node, backplane: joined } } };
        return original['catchUpOn'].call(Object.create(this, by) as typeof this, sessionId);
      };
    },
  },
  {
    name: 'missed messages are looked for only once',
    test: 'test/unit/catch-up.test.ts',
    named: '',
    async plant() {
      const { CatchUp } = await import('../../src/execution/recovery/catch-up.js');
      CatchUp.prototype.catchUp = async function () {
        const waiting = this['outgoingRequests'].sessions();
        await Promise.allSettled(waiting.map((sessionId) => this['catchUpOn'](sessionId)));
      };
    },
  },
  {
    name: 'log ids follow only the clock of the server',
    test: 'test/contract/redis.test.ts',
    named: 'is stored after that place, and so are later commits',
    plant: () => replaceInScript('commit/write-log', { notBehind: 'function() end' }),
  },
  {
    name: 'a revision is only a counter',
    test: 'test/contract/redis.test.ts',
    named: 'is told of every change of shape',
    plant: () =>
      replaceInScript('commit/step', {
        revise: `function()
          step.revision = string.format('%.0f', string.match(step.revision, '^%d+') + 1)
          redis.call('HSET', step.record, 'rev', step.revision)
          return step.revision
        end`,
      }),
  },
  {
    name: 'a request that is about to run is taken for a lost one',
    test: 'test/regression/rerun.test.ts',
    named: '',
    async plant() {
      const { LiveSession } = await import('../../src/replica/live-session.js');
      LiveSession.prototype.mayRun = function (stream) {
        return this.streams().includes(stream);
      };
    },
  },
  {
    name: 'a missing log is an error while its slot is moved',
    test: 'test/cluster/slot-moves.test.ts',
    named: 'a session is ended while its slot is moved and its log has expired',
    plant: () =>
      replaceInScript('session-keys', { onLog: 'function(...) return redis.call(...) end' }),
  },
  {
    name: 'the places of large messages in a log are not remembered',
    test: 'test/contract/redis-worst-steps.test.ts',
    named: 'the standalone stream, 15 messages of 4 MB',
    plant: () => replaceInScript('log-map', { mapped: "function(map) return map or '' end" }),
  },
  {
    name: 'a step goes through all its arguments for each stream',
    test: 'test/contract/redis-worst-steps.test.ts',
    named: 'touch',
    plant: () =>
      replaceInScript('stored-values', {
        position: `function(...)
          for _ = 1, #ARGV do end
          return original(...)
        end`,
      }),
  },
  {
    name: 'all steps that look through a log go to Redis at once',
    test: 'test/unit/fair-turns.test.ts',
    named: 'runs one step of a session and 32 in all at a time',
    async plant() {
      const { FairTurns } = await import('../../src/backplane/redis/connection/fair-turns.js');
      FairTurns.prototype.take = (_session, step) => step();
    },
  },
  {
    name: 'a lost wake-up is not looked for',
    test: 'test/unit/position-check.test.ts',
    named: 'makes those followers read the log that are behind',
    async plant() {
      const { PositionCheck } = await import('../../src/stream/followers/position-check.js');
      PositionCheck.prototype['check'] = () => Promise.resolve();
    },
  },
];
