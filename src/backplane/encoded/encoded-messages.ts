/** Encodes messages between nodes on their way out, and decodes them on their way in. */
import type { NodeMessage } from '../backplane.js';
import { HeardNumbers } from './heard-numbers.js';
import type { LogTexts } from './log-texts.js';
import { isSentTo } from './log-texts.js';
import type { Origin, PayloadContext, Payloads } from './payloads.js';

type Type = NodeMessage['type'];
type Of<Name extends Type> = Extract<NodeMessage, { type: Name }>;

/** Says for each type of message whether it carries texts. The texts of a type that is missing here would leave in clear. */
const CARRIES_TEXT = {
  ...{ event: true, deliver: true, logged: true, run: true, shape: true },
  ...{ placed: false, disowned: false, gone: false, release: false, released: false },
  ...{ check: false, hangup: false, held: false, orphaned: false, taken: false, followed: false },
} as const satisfies Record<Type, boolean>;

type Carrier = { [Name in Type]: (typeof CARRIES_TEXT)[Name] extends true ? Name : never }[Type];

function carriesText(message: NodeMessage): message is Of<Carrier> {
  return CARRIES_TEXT[message.type];
}

/**
 * Encodes and decodes messages between nodes. An attacker who can publish could repeat a message, or send it to another
 * node. So a node encodes each message for one addressee and one purpose. A receiver accepts each message once, by the
 * number that the sender gave it.
 *
 * Scripts send messages as they are stored in the log, to the node that they find there. Such a message is bound to its
 * route.
 */
export class EncodedMessages {
  private readonly heard = new HeardNumbers();

  constructor(
    private readonly payloads: Payloads,
    private readonly texts: LogTexts,
    private readonly nodeId: string,
  ) {}

  /** Encodes the texts of a message that this node sends. */
  encode(message: NodeMessage, addressee: string): NodeMessage {
    if (!carriesText(message)) return message;
    switch (message.type) {
      case 'deliver': {
        const { sessionId, context } = message;
        const purpose = `deliver ${addressee}`;
        const text = this.payloads.encodeWithOrigin(message.message, textOf(sessionId), purpose);
        if (context === undefined) return { ...message, message: text };
        const together = `${purpose} ${this.payloads.lastNumber}`;
        const encoded = this.payloads.encodeWithOrigin(context, contextOf(sessionId), together);
        return { ...message, message: text, context: encoded };
      }
      case 'logged': {
        const { sessionId, logId, context } = message;
        if (context === undefined) return message;
        const purpose = `logged ${addressee} ${logId}`;
        return {
          ...message,
          context: this.payloads.encodeWithOrigin(context, contextOf(sessionId), purpose),
        };
      }
      case 'run': {
        const { sessionId, stream, context, messages } = message;
        const purpose = `run ${addressee} ${stream}`;
        return {
          ...message,
          context: this.payloads.encodeWithOrigin(context, contextOf(sessionId), purpose),
          messages: messages?.map((text) =>
            this.payloads.encodeWithOrigin(text, textOf(sessionId), purpose),
          ),
        };
      }
      // A step of the backplane sends the texts of these. It was given them encoded.
      case 'event':
      case 'shape':
        return message;
    }
  }

  /** Decodes a message. `undefined`: it is not for this node, or was received before. */
  decode(message: NodeMessage): NodeMessage | undefined {
    if (!carriesText(message)) return message;
    switch (message.type) {
      case 'event':
        return this.decodeEvent(message);
      case 'deliver':
        return this.decodeDeliver(message);
      case 'shape': {
        const { sessionId, message: text } = message;
        if (text === undefined) return message;
        const opened = this.payloads.decodeWithOrigin(text, textOf(sessionId), whereOf(message));
        const isMeant = opened !== undefined && this.isSent(opened.origin, message);
        return { ...message, message: isMeant ? opened.text : undefined };
      }
      case 'logged': {
        const { sessionId, logId, context } = message;
        if (context === undefined) return message;
        const opened = this.payloads.decodeWithOrigin(
          context,
          contextOf(sessionId),
          whereOf(message),
        );
        if (opened === undefined) return undefined;
        const purpose = `logged ${this.nodeId} ${logId}`;
        return this.accepts(opened.origin, purpose, message)
          ? { ...message, context: opened.text }
          : undefined;
      }
      case 'run':
        return this.decodeRun(message);
    }
  }

  /** True if the node that stored a message sent it to this node, and this node has not received it before. */
  isSent(origin: Origin | undefined, message: Of<'deliver' | 'shape' | 'logged'>): boolean {
    if (isSentTo(this.nodeId, origin) && this.isNew(origin)) return true;
    this.refused(message);
    return false;
  }

  private decodeEvent(message: Of<'event'>): NodeMessage {
    const { event, sessionId, stream } = message;
    if (event.message === undefined) return message;
    const place = { logId: event.position.logId, direction: 'out', stream } as const;
    const opened = this.texts.decode(event.message, sessionId, place);
    if (typeof opened === 'object') {
      return { ...message, event: { ...event, message: opened.text } };
    }
    // The follower reads the log instead, which has the message or the reason why it cannot be shown.
    return { ...message, event: { ...event, message: undefined }, inline: false };
  }

  private decodeDeliver(message: Of<'deliver'>): NodeMessage | undefined {
    const { sessionId, context: encoded } = message;
    const opened = this.payloads.decodeWithOrigin(
      message.message,
      textOf(sessionId),
      whereOf(message),
    );
    if (opened === undefined) return undefined;
    const { text, origin } = opened;
    const purpose = `deliver ${this.nodeId}`;
    if (encoded === undefined && origin?.purpose !== purpose) {
      return this.isSent(origin, message) ? { ...message, message: text } : undefined;
    }
    if (!this.accepts(origin, purpose, message)) return undefined;
    if (encoded === undefined) return { ...message, message: text };
    const context = this.payloads.decodeWithOrigin(encoded, contextOf(sessionId), whereOf(message));
    if (context === undefined) return undefined;
    const together = origin && `${purpose} ${origin.number}`;
    if (!this.accepts(context.origin, together, message)) return undefined;
    return { ...message, message: text, context: context.text };
  }

  private decodeRun(run: Of<'run'>): NodeMessage | undefined {
    const { sessionId, stream } = run;
    const where = whereOf(run);
    const purpose = `run ${this.nodeId} ${stream}`;
    const context = this.payloads.decodeWithOrigin(run.context, contextOf(sessionId), where);
    // Check for a repeat first, because a repeat has no effect, even if its other texts cannot be decoded.
    if (context !== undefined && !this.accepts(context.origin, purpose, run)) return undefined;
    const opened = run.messages?.map((text) =>
      this.payloads.decodeWithOrigin(text, textOf(sessionId), where),
    );
    const messages = opened?.filter((each) => each !== undefined);
    if (context === undefined || messages?.length !== opened?.length) {
      return { ...run, context: '', messages: undefined, unreadable: true };
    }
    const texts = messages?.map(({ text }) => text);
    const isMeant = messages?.every(({ origin }) => origin?.purpose === context.origin?.purpose);
    if (isMeant !== false) return { ...run, context: context.text, messages: texts };
    this.refused(run);
    return undefined;
  }

  /**
   * True if the text has this purpose and was not received before. `purpose` is `undefined` if the text that came with it
   * has no origin.
   */
  private accepts(
    origin: Origin | undefined,
    purpose: string | undefined,
    message: NodeMessage,
  ): boolean {
    if (origin?.purpose === (origin && purpose) && this.isNew(origin)) return true;
    this.refused(message);
    return false;
  }

  /** True if the text is new. With a codec that takes plaintext, this is not known. */
  private isNew(origin: Origin | undefined): boolean {
    return origin === undefined || this.heard.isNew(origin);
  }

  private refused(message: NodeMessage): void {
    this.payloads.warn(
      `${whereOf(message)} was not meant for this node, or was heard before: it was not heeded`,
    );
  }
}

function textOf(sessionId: string): PayloadContext {
  return { sessionId, kind: 'message' };
}

function contextOf(sessionId: string): PayloadContext {
  return { sessionId, kind: 'context' };
}

function whereOf({ type }: NodeMessage): string {
  return `a message of another node (${type})`;
}
