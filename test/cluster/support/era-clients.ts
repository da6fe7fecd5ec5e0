/** The official clients of both eras, as far as a test that has both needs them. */
import { setTimeout as pause } from 'node:timers/promises';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import * as v1 from '@modelcontextprotocol/sdk/types.js';
import {
  Client as ClientV2,
  StreamableHTTPClientTransport as TransportV2,
  type McpSubscription,
} from '@modelcontextprotocol/client';
import { onTestFinished } from 'vitest';
import type { TestNode } from './cluster.js';
import { Happenings } from './happenings.js';

export const WATCHED = 'test://watched';
export const filter = {
  ...{ toolsListChanged: true, promptsListChanged: true, resourcesListChanged: true },
  resourceSubscriptions: [WATCHED],
};
const textOf = (result: unknown): string =>
  (result as { content: { text: string }[] }).content[0]?.text ?? '';

/** A client of either era, as far as a test needs it. */
export interface EraClient {
  client: ClientV1 | ClientV2;
  heard: Happenings;
  /** How often it has heard what. */
  counts: () => Record<string, number>;
  call: (
    name: string,
    args?: Record<string, unknown>,
    options?: { signal?: AbortSignal; onprogress?: (progress: { progress: number }) => void },
  ) => Promise<string>;
  sessionId: () => string | undefined;
}

function told(): Pick<EraClient, 'heard' | 'counts'> & { hear: (what: string) => void } {
  const heard = new Happenings();
  const counts: Record<string, number> = {};
  const hear = (what: string): void => {
    counts[what] = (counts[what] ?? 0) + 1;
    heard.happened(what);
  };
  return { heard, counts: () => counts, hear };
}

/** Its GET stream is open when it has heard something that was said to it. */
export async function older(url: string, node: TestNode): Promise<EraClient> {
  const client = new ClientV1({ name: 'v1', version: '1' });
  const transport = new TransportV1(new URL(url));
  const { hear, ...of } = told();
  client.setNotificationHandler(v1.ToolListChangedNotificationSchema, () => hear('tools'));
  client.setNotificationHandler(v1.PromptListChangedNotificationSchema, () => hear('prompts'));
  client.setNotificationHandler(v1.ResourceListChangedNotificationSchema, () => hear('resources'));
  client.setNotificationHandler(v1.ResourceUpdatedNotificationSchema, ({ params }) =>
    hear(`updated ${params.uri}`),
  );
  const open = new Happenings();
  client.setNotificationHandler(v1.LoggingMessageNotificationSchema, () => open.happened('open'));
  await client.connect(transport);
  onTestFinished(() => client.close());
  await client.subscribeResource({ uri: WATCHED });
  const sessionId = transport.sessionId ?? '';
  await node.call('notify', { sessionId, data: 'open' });
  await open.until('open');
  return {
    ...{ client, ...of, sessionId: () => transport.sessionId },
    call: async (name, args = {}, options = {}) =>
      textOf(await client.callTool({ name, arguments: args }, undefined, options)),
  };
}

export async function newer(
  url: string,
  mode: 'auto' | 'legacy' = 'auto',
): Promise<EraClient & { client: ClientV2 }> {
  const client = new ClientV2({ name: 'v2', version: '1' }, { versionNegotiation: { mode } });
  const transport = new TransportV2(new URL(url));
  const { hear, ...of } = told();
  client.setNotificationHandler('notifications/tools/list_changed', () => hear('tools'));
  client.setNotificationHandler('notifications/prompts/list_changed', () => hear('prompts'));
  client.setNotificationHandler('notifications/resources/list_changed', () => hear('resources'));
  client.setNotificationHandler('notifications/resources/updated', ({ params }) =>
    hear(`updated ${params.uri}`),
  );
  await client.connect(transport);
  onTestFinished(() => client.close());
  return {
    ...{ client, ...of, sessionId: () => transport.sessionId },
    call: async (name, args = {}, options = {}) =>
      textOf(await client.callTool({ name, arguments: args }, options)),
  };
}

/** As an application does whose subscription has ended: until a node takes it. */
export async function subscribed(client: ClientV2): Promise<McpSubscription> {
  for (;;) {
    try {
      return await client.listen(filter);
    } catch {
      await pause(50);
    }
  }
}

export interface Listener extends EraClient {
  client: ClientV2;
  /** `ended`, with how, when its subscription has; `back` when it has another one. */
  life: Happenings;
}

/** Half of them at each of two nodes; whose subscription ends, subscribes again. */
export async function listeners(url: string): Promise<Listener[]> {
  const all: Listener[] = [];
  for (let count = 0; count < 4; count += 1) {
    const each = await newer(url);
    // Requests go to the nodes in turn: with two of each client, one node would get all subscriptions.
    if (count % 2 === 1) await each.call('whoami');
    const life = new Happenings();
    const subscription = await subscribed(each.client);
    void subscription.closed.then(async (how) => {
      if (how === 'local') return;
      life.happened(how);
      await subscribed(each.client);
      life.happened('back');
    });
    all.push({ ...each, life });
  }
  return all;
}

/** Resolves when so many of them have subscribed again, and says how they had lost their subscriptions. */
export async function moved(
  all: Listener[],
  count: number,
): Promise<{ graceful: number; remote: number }> {
  const of = (what: string): number => all.reduce((sum, { life }) => sum + life.count(what), 0);
  while (of('back') < count) await pause(20);
  return { graceful: of('graceful'), remote: of('remote') };
}
