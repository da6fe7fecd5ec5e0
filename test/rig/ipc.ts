/** The messages between a process and a node process that it started, over their IPC channel. */

/** The child's first message. */
export interface ReadyMessage {
  ready: true;
  port: number;
  nodeId?: string;
}

export interface CallMessage {
  call: number;
  method: string;
  params: unknown;
}

export type AnswerMessage =
  { call: number; result: unknown } | { call: number; error: { name: string; message: string } };

export type FromChild = ReadyMessage | AnswerMessage;
