/** Faults in how tasks are stored and carried on. */
import { MemoryTasks } from '../../../src/backplane/memory/memory-tasks.js';
import { NodeWatch } from '../../../src/stream/node-watch.js';
import { SimTasks } from '../backplane-tasks.js';
import type { Mutant } from './mutant.js';
import { methodsOf } from './mutant.js';

const setting = { tasks: true };
/**
 * The settings of a run in which nothing fails. Only in such runs the checks limit how long a client waits for a result or
 * a message.
 */
const quick = {
  ...{ tasks: true, trouble: false, isQuick: true, httpMs: 2, backplaneMs: 1, busMs: 1 },
  ...{ loseReply: 0, loseCall: 0, refuse: 0 },
};

export const TASK_MUTANTS: Mutant[] = [
  {
    name: 'a task that has ended is changed again',
    setting,
    plant() {
      const original = methodsOf(MemoryTasks.prototype);
      MemoryTasks.prototype['change'] = function (change, ...rest) {
        const stored = this['tasks'].get(change.id);
        if (stored !== undefined) stored.record.status = 'working';
        return original['change'].call(this, change, ...rest);
      };
    },
  },
  {
    name: 'a task goes on although its node is dead',
    setting,
    plant() {
      NodeWatch.prototype.momentSeenDead = () => Promise.resolve(undefined);
    },
  },
  {
    name: 'a request for a result waits for longer than the poll interval of its task',
    from: 9,
    setting: quick,
    plant() {
      const original = methodsOf(SimTasks.prototype);
      SimTasks.prototype.get = async function (id) {
        const record = await original.get.call(this, id);
        return record && { ...record, pollIntervalMs: 3 * record.pollIntervalMs };
      };
    },
  },
  {
    name: 'a request for a result reads the queue of its task only at every fifth look',
    from: 9,
    setting: quick,
    plant() {
      const original = methodsOf(SimTasks.prototype);
      let count = 0;
      SimTasks.prototype.pop = function (...args) {
        count += 1;
        return count % 5 === 0 ? original.pop.apply(this, args) : Promise.resolve(undefined);
      };
    },
  },
  {
    name: 'a repeated push puts a message into its queue twice',
    from: 467,
    setting,
    plant() {
      const original = methodsOf(SimTasks.prototype);
      SimTasks.prototype.push = function (...args) {
        this['parts'].shared.put.clear();
        return original.push.apply(this, args);
      };
    },
  },
  {
    name: 'a message stays in its queue after it was taken out',
    setting,
    plant() {
      const original = methodsOf(SimTasks.prototype);
      let count = 0;
      SimTasks.prototype.pop = async function (id, sessionId) {
        const text = await original.pop.call(this, id, sessionId);
        count += 1;
        if (text !== undefined && count % 10 === 0) await this.putBack(id, [text]);
        return text;
      };
    },
  },
  {
    name: 'a message that was taken out of a queue is not sent',
    from: 36,
    setting,
    plant() {
      const original = methodsOf(SimTasks.prototype);
      SimTasks.prototype.pop = async function (id, sessionId) {
        await original.pop.call(this, id, sessionId);
        return original.pop.call(this, id, sessionId);
      };
    },
  },
  {
    name: 'a task of a living node fails',
    from: 22,
    setting,
    plant() {
      NodeWatch.prototype.isAlive = () => Promise.resolve(false);
      NodeWatch.prototype.momentSeenDead = function (id) {
        return this['options'].backplane().timeOf(id);
      };
    },
  },
  {
    name: 'a node reads the record of a task only once',
    setting,
    plant() {
      const original = methodsOf(SimTasks.prototype);
      const known = new WeakMap<SimTasks, Map<string, Awaited<ReturnType<SimTasks['get']>>>>();
      SimTasks.prototype.get = async function (id) {
        const tasks = known.get(this) ?? new Map<string, Awaited<ReturnType<SimTasks['get']>>>();
        known.set(this, tasks);
        const record = tasks.get(id) ?? (await original.get.call(this, id));
        tasks.set(id, record);
        return record && { ...record };
      };
    },
  },
];
