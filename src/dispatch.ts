import type { NodeMessage } from './backplane/backplane.js';
import { unpackContext } from './execution/delivery-context.js';
import type { OwnerHandover } from './execution/owner-handover.js';
import type { OrphanRecovery } from './execution/recovery/orphan-recovery.js';
import type { SessionService } from './execution/session-service.js';
import { internalError } from './replica/requests/request-errors.js';
import type { SessionNode } from './replica/session-node.js';
import type { ConnectionTakeovers } from './stream/connection-takeovers.js';
import type { Followers } from './stream/followers.js';

/** The parts of a node that other nodes talk to. */
export interface Receivers {
  node: SessionNode;
  sessions: SessionService;
  followers: Followers;
  orphans: OrphanRecovery;
  handovers: OwnerHandover;
  takeovers: ConnectionTakeovers;
  /** Ends a connection of this node whose client can come back. */
  hangUp(sessionId: string, stream: string, token: string): void;
}

/** Hands a message of another node to the part of this node that it is for. Every kind of message has its case here. */
export function dispatch(message: NodeMessage, to: Receivers): void {
  const { sessions, followers, orphans, handovers, takeovers } = to;
  switch (message.type) {
    // A client's connection shows something, or ends.
    case 'event': {
      const { sessionId, stream, token, event, inline } = message;
      followers.offer(sessionId, stream, token, event, inline);
      break;
    }
    case 'hangup':
      to.hangUp(message.sessionId, message.stream, message.token);
      break;

    // A stream gets another holder.
    case 'release':
      takeovers.onRelease(message);
      break;
    case 'released':
      takeovers.onReleased(message);
      break;
    case 'taken':
      takeovers.onTaken(message);
      break;
    case 'held':
      takeovers.onHeld(message);
      break;

    // Who runs a request.
    case 'run': {
      const { sessionId, stream, context } = message;
      // A request that cannot be decoded could not be decoded later either: it ends.
      if (message.unreadable === true) orphans.check(sessionId, stream, internalError);
      else handovers.onRun(message, unpackContext(to.node, context, sessionId, stream));
      break;
    }
    case 'placed':
      handovers.onPlaced(message);
      break;
    case 'check':
      for (const { sessionId, stream } of message.streams) orphans.check(sessionId, stream);
      break;
    case 'orphaned': {
      const follower = followers.find(message.sessionId, message.stream, message.token);
      if (follower !== undefined) orphans.released(follower);
      break;
    }

    // What a session's server has to hear.
    case 'deliver':
      sessions.onDeliver(message);
      break;
    case 'logged':
      sessions.onLogged(message);
      break;
    case 'shape':
      sessions.onShape(message);
      break;
    case 'followed':
      sessions.onFollowed(message);
      break;

    // A session is another node's, or is over.
    case 'disowned':
      sessions.onDisowned(message);
      break;
    case 'gone':
      sessions.onGone(message);
      break;
    default:
      message satisfies never;
  }
}
