import type { JoinedBackplane, JoinOptions } from './backplane/backplane.js';
import { makeModern } from './http/modern/modern.js';
import { serversOf } from './intercept/servers.js';
import type { ObservedNode } from './options/node-telemetry.js';
import type { Options } from './options/options.js';
import { serverEventBusOn } from './sdk-stores/sdk-stores.js';
import { checkAudit } from './start-audit.js';
import { measured } from './stream/measured-backplane.js';

type Callbacks = Pick<JoinOptions, 'nodeId' | 'clock' | 'onMessage' | 'onLost' | 'onLapse'>;

/**
 * Connects a node to what lies outside it: the backplane, the servers behind the node, and telemetry. If code of the
 * application throws, everything that was connected before is undone, and the error is thrown.
 */
export function connectNode(
  options: Options,
  {
    nodeId,
    clock,
    onMessage,
    onLost,
    onLapse,
    observed,
  }: Callbacks & { observed: Omit<ObservedNode, 'nodeId'> },
) {
  const { commandTimeoutMs, sessionTtlMs, pendingTtlMs, leaseMs, logger, retention } = options;
  const audit = options.audit?.limits;
  let joined: JoinedBackplane | undefined;
  let hasListened = false;
  const join = (): JoinedBackplane =>
    (joined ??= options.backplane.join({
      ...{
        nodeId,
        clock,
        leaseMs,
        commandTimeoutMs,
        sessionTtlMs,
        pendingTtlMs,
        retention,
        ...(audit !== undefined && { audit }),
        logger,
      },
      onMessage: (message) => {
        try {
          onMessage(message);
        } catch (error) {
          logger.error(`mcp-anynode: a message of another node failed: ${String(error)}`);
        }
      },
      onLost: () => {
        // The first call says that this node has begun to listen.
        if (hasListened) telemetry?.count('wakeupsMissed');
        hasListened = true;
        onLost();
      },
      onLapse: () => {
        telemetry?.count('leaseLapses');
        onLapse();
      },
    }));
  const bus = serverEventBusOn(join, logger);
  const leave = (): void => {
    bus.close();
    void joined?.leave();
  };
  // `modern` is code of the application and may throw. It is called before this node joins and starts timers, because
  // otherwise a node would stay in the backplane that no request reaches. Only a use of the bus joins earlier.
  const modern = orUndo(() => makeModern(options.modern, bus), leave);
  const telemetry = orUndo(() => options.telemetry?.observe({ nodeId, ...observed }), leave);
  const { servers, backplane } = orUndo(
    () => {
      checkAudit(options, join());
      return {
        servers: serversOf(options, clock, () => telemetry?.headers()),
        backplane: telemetry?.hasMetrics === true ? measured(join(), telemetry, clock) : join(),
      };
    },
    () => {
      telemetry?.close();
      leave();
    },
  );
  return { bus, modern, telemetry, servers, backplane };
}

/** Returns what `make` returns. If it throws, calls `undo` first, and throws the same. */
function orUndo<Made>(make: () => Made, undo: () => void): Made {
  try {
    return make();
  } catch (error) {
    undo();
    throw error;
  }
}
