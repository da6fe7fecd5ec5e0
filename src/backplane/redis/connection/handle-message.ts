import type { NodeMessage } from '../../node-messages.js';
import { parseMessage } from '../commands/message-format.js';

/** The longest message of another node. See `INLINE_BYTES` in scripts/includes/wake-ups.lua for what makes it long. */
const LONGEST_MESSAGE = 4 * 1024 * 1024;

/** Passes a message of another node on, if it is one. Any client that may publish can send any text. */
export function handleMessage(
  text: string,
  onMessage: (message: NodeMessage) => void,
  logger: { warn(message: string): void },
): void {
  if (text.length > LONGEST_MESSAGE) return;
  try {
    const message = parseMessage(text);
    if (message !== undefined) onMessage(message);
  } catch (error) {
    // A bad message must affect only the session that it names.
    const [line = ''] = text.slice(0, 200).split('\n');
    logger.warn(
      `mcp-anynode: a message of a node could not be handled: ${JSON.stringify(line)}: ${String(error)}`,
    );
  }
}
