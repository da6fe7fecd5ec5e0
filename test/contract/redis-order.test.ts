import { expect, it, onTestFinished } from 'vitest';
import { CommandConnection } from '../../src/backplane/redis/connection/redis-connection.js';
import { systemClock } from '../../src/protocol/timing/clock.js';
import { redisUrl } from '../support/redis-fixture.js';

it('steps that Redis refused for a moment are sent again in the order of the calls', async () => {
  const connection = new CommandConnection(redisUrl(), {
    ...{ clock: systemClock, timeoutMs: 3000, logger: console },
    onReady: () => undefined,
    onNodeLost: () => undefined,
  });
  onTestFinished(() => connection.close());
  await connection.run((client) => client.ping());
  const order: number[] = [];
  const names = Array.from({ length: 20 }, (_, n) => n);
  await Promise.all(
    names.map((n) =>
      connection.run(async (_client, attempts) => {
        if (attempts < 2) {
          const busy = new Error('BUSY Redis is busy running a script');
          busy.name = 'ReplyError';
          throw busy;
        }
        order.push(n);
        await Promise.resolve();
      }),
    ),
  );
  expect(order).toEqual(names);
});
