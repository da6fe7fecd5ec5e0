/** Measures the calls of a node to its backplane, for telemetry. */
import type { NodeTelemetry } from '../options/node-telemetry.js';
import type { Clock } from '../protocol/timing/clock.js';
import { AnynodeError } from '../protocol/errors.js';
import type { JoinedBackplane } from '../backplane/backplane.js';

type Call = (...args: unknown[]) => unknown;

/** Calls that may wait for any length of time, so that their duration says nothing about the backplane. */
const NOT_MEASURED = new Set(['ready', 'leave']);

/** Returns a proxy of a backplane that measures each call. */
export function measured(
  backplane: JoinedBackplane,
  telemetry: NodeTelemetry,
  clock: Clock,
): JoinedBackplane {
  const calls = new Map<string, Call>();
  return new Proxy(backplane, {
    get(target, name: string) {
      const known = calls.get(name);
      if (known !== undefined) return known;
      const member = Reflect.get(target, name, target) as unknown;
      if (typeof member !== 'function') return member;
      const call = member.bind(target) as Call;
      const timed = NOT_MEASURED.has(name) ? call : timedCall(name, call, telemetry, clock);
      calls.set(name, timed);
      return timed;
    },
  });
}

function timedCall(operation: string, call: Call, telemetry: NodeTelemetry, clock: Clock): Call {
  const labels = { operation };
  return (...args) => {
    const began = clock.elapsed();
    const result = call(...args);
    if (!(result instanceof Promise)) return result;
    result.then(
      () => telemetry.measure('backplaneOperation', clock.elapsed() - began, labels),
      (error: unknown) => {
        const type = error instanceof AnynodeError ? error.code : '_OTHER';
        const failed = { operation, 'error.type': type };
        telemetry.measure('backplaneOperation', clock.elapsed() - began, failed);
      },
    );
    return result;
  };
}
