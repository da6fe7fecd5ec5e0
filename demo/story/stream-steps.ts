import { setTimeout as delay } from 'node:timers/promises';
import { hold } from './hold.js';
import type { Exchange } from './route.js';
import type { Scene } from './scene.js';
import type { Step } from './session-steps.js';

/** Calls that take their time: what happens to them from outside while they run. */

const numbers = ({ logged }: Scene): unknown[] =>
  logged.items.filter(({ logger }) => logger === 'count').map(({ data }) => data);

export const resume: Step = {
  name: 'a stream cut in mid-call, resumed on the other node',
  async play(scene) {
    const { route, birthplace, patienceMs } = scene;
    // Long enough for a busy machine to cut it and come back before it is over.
    const [to, everyMs] = [40, 50];
    const from = route.exchanges.items.length;
    const before = numbers(scene).length;
    const began = performance.now();
    route.cutNextCallAfter(5);
    const pins = { request: route.urlOf(birthplace), resume: route.other(birthplace) };
    const { call, resumed, resumedAfterMs } = await route.pinned(pins, async () => {
      const calling = scene.call('count', { to, everyMs });
      const isResume = ({ kind }: Exchange) => kind === 'resume';
      const resuming = route.exchanges
        .until(isResume, 'the request to resume', patienceMs, from)
        .then((exchange) => ({ resumed: exchange, resumedAfterMs: performance.now() - began }));
      const [answered, when] = await Promise.all([calling, resuming]);
      return { call: answered, ...when };
    });
    hold(call.text === `Counted to ${to}.`, `the call answered ${call.text}`);
    hold(resumedAfterMs < to * everyMs, 'the call was over before the client resumed');
    hold(!route.knowsNodes || resumed.node !== call.node, `${call.node} ran it and resumed it`);

    const got = numbers(scene).slice(before).join(' ');
    const all = Array.from({ length: to }, (_, index) => index + 1).join(' ');
    hold(got === all, `the numbers came as ${got}`);
    return `run by ${call.node}, cut after 5 messages, the other ${to - 5} and the result from ${resumed.node}`;
  },
};

export const cancel: Step = {
  name: 'a call cancelled on the other node',
  async play(scene) {
    const { route, birthplace, logged, patienceMs } = scene;
    const before = numbers(scene).length;
    const from = route.exchanges.items.length;
    const controller = new AbortController();
    const [to, everyMs] = [300, 10];
    const pins = { request: route.urlOf(birthplace), notification: route.other(birthplace) };

    await route.pinned(pins, async () => {
      const call = scene.call('count', { to, everyMs }, controller.signal);
      const outcome = call.then(
        () => 'answered',
        () => 'cancelled',
      );
      await logged.until(() => numbers(scene).length >= before + 3, 'the count', patienceMs);
      controller.abort('the user has changed her mind');
      hold((await outcome) === 'cancelled', 'the call was answered');
      await route.exchanges.until(
        ({ label }) => label === 'POST notifications/cancelled',
        'the cancellation',
        patienceMs,
        from,
      );
    });
    // How soon it stops is the machine's affair; one that has not heard of it counts to the end.
    let stopped: number;
    do {
      stopped = numbers(scene).length;
      await delay(20 * everyMs);
    } while (numbers(scene).length > stopped);
    hold(stopped - before < to, 'it counted to the end');
    return `run by ${birthplace}, cancelled from the other, stopped at ${stopped - before}`;
  },
};
