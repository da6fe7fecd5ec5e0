import type { NodeMessage } from '../backplane/backplane.js';
import { internalError } from '../replica/requests/request-errors.js';
import type { ConnectionTakeovers } from '../stream/followers/connection-takeovers.js';
import type { Followers } from '../stream/followers/followers.js';
import type { HangUps } from '../stream/hang-ups.js';
import { unpackContext } from './messages/delivery-context.js';
import type { OwnerHandover } from './ownership/owner-handover.js';
import type { Ownership } from './ownership/ownership.js';
import type { OrphanRecovery } from './recovery/orphan-recovery.js';
import type { SessionInbox } from './messages/session-inbox.js';
import type { SessionService } from './session-service.js';

/** The parts of a node that handle messages of other nodes. */
export interface Receivers {
  followers: Followers;
  takeovers: ConnectionTakeovers;
  hangUps: HangUps;
  inbox: SessionInbox;
  ownership: Ownership;
  sessions: SessionService;
  orphans: OrphanRecovery;
  handovers: OwnerHandover;
}

/** Hands a message of another node to the part that it is for. Each type of message has its case here. */
export function dispatch(message: NodeMessage, to: Receivers): void {
  const { followers, takeovers, hangUps, inbox, sessions, orphans, handovers } = to;
  switch (message.type) {
    // A connection of a client has something to show, or has to end.
    case 'event': {
      const { sessionId, stream, token, event, inline } = message;
      followers.offer(sessionId, stream, token, event, inline);
      break;
    }
    case 'hangup':
      hangUps.hangUpHere(message.sessionId, message.stream, message.token);
      break;

    // A stream gets a new holder.
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

    // A node is to run requests, or has to look whether it runs them.
    case 'run': {
      const { sessionId, stream, context } = message;
      // This node could not decode the request later either, so the request ends with an error.
      if (message.unreadable === true) orphans.endUnlessRunning(sessionId, stream, internalError);
      else handovers.onRun(message, unpackContext(hangUps, context, sessionId, stream));
      break;
    }
    case 'placed':
      handovers.onPlaced(message);
      break;
    case 'check':
      for (const { sessionId, stream } of message.streams)
        orphans.endUnlessRunning(sessionId, stream);
      break;
    case 'orphaned': {
      const follower = followers.find(message.sessionId, message.stream, message.token);
      if (follower !== undefined) orphans.onOrphaned(follower);
      break;
    }

    // A replica has to learn of messages or changes.
    case 'deliver':
      inbox.onDeliver(message);
      break;
    case 'logged':
      inbox.onLogged(message);
      break;
    case 'shape':
      sessions.onShape(message);
      break;
    case 'followed':
      sessions.onFollowed(message);
      break;

    // A session has another owner, or has ended.
    case 'disowned':
      to.ownership.onDisowned(message.sessionId);
      break;
    case 'gone':
      sessions.end(message.sessionId);
      break;
    default:
      message satisfies never;
  }
}
