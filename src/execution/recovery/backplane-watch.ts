import type { BackplaneHealth } from '../../backplane/backplane.js';
import type { Clock } from '../../protocol/timing/clock.js';
import type { Logger } from '../../options/public-types.js';

/** How often the state is read. That sends no command to the backplane. */
const LOOK_MS = 1000;

/**
 * Logs once when the backplane cannot be reached, and once when it can be reached again. An outage that is over before the
 * second look is not logged.
 */
export class BackplaneWatch {
  private downSince: number | undefined;
  private isLogged = false;
  private cancel: () => void = () => undefined;

  constructor(
    private readonly parts: {
      backplane: BackplaneHealth;
      clock: Clock;
      logger: Logger;
    },
  ) {
    this.schedule();
  }

  close(): void {
    this.cancel();
  }

  private schedule(): void {
    const { clock } = this.parts;
    this.cancel = clock.after(LOOK_MS, () => {
      this.look();
      this.schedule();
    });
  }

  private look(): void {
    const { backplane, clock, logger } = this.parts;
    const trouble = backplane.trouble();
    const now = clock.elapsed();
    const name = backplane.address ?? 'the backplane';
    if (trouble === undefined) {
      if (this.isLogged && this.downSince !== undefined) {
        const seconds = Math.round((now - this.downSince) / 1000);
        logger.info?.(`mcp-anynode: ${name} is reached again, after about ${seconds} s`);
      }
      this.downSince = undefined;
      this.isLogged = false;
      return;
    }
    this.downSince ??= now;
    if (this.isLogged || this.downSince === now) return;
    this.isLogged = true;
    logger.warn(`mcp-anynode: ${name} cannot be reached, requests get 503: ${trouble}`);
  }
}
