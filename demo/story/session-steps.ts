import { hold } from './hold.js';
import type { Scene } from './scene.js';

/** A part of the story. Throws where it does not hold; gives a line on what happened. */
export interface Step {
  name: string;
  play: (scene: Scene) => Promise<string>;
}

/** The life of a session: it is made, found on any node, and gone from every node. */

export const initialize: Step = {
  name: 'initialize',
  async play(scene) {
    await scene.connect();
    const { sessionId, protocolVersion } = scene.transport;
    hold(sessionId !== undefined, 'the server gave no session id');
    return `session ${sessionId.slice(0, 8)}…, protocol ${protocolVersion ?? '?'}`;
  },
};

export const listen: Step = {
  name: 'the GET stream opens',
  async play({ route, patienceMs }) {
    // The SDK's client opens it by itself, once `initialized` has been accepted.
    const { status, node } = await route.exchanges.until(
      ({ kind }) => kind === 'listen',
      'the GET',
      patienceMs,
    );
    hold(status === 200, `the GET was answered ${status}`);
    return `held by ${node}`;
  },
};

export const list: Step = {
  name: 'tools, resources and prompts are listed',
  async play({ client, patienceMs }) {
    const options = { timeout: patienceMs };
    const { tools } = await client.listTools(undefined, options);
    const { resources } = await client.listResources(undefined, options);
    const { prompts } = await client.listPrompts(undefined, options);
    hold(
      tools.some(({ name }) => name === 'count'),
      'the list of tools is not complete',
    );
    return `${tools.length} tools, ${resources.length} resources, ${prompts.length} prompts`;
  },
};

export const callElsewhere: Step = {
  name: 'a call on the other node',
  async play(scene) {
    const { route, birthplace } = scene;
    const { text, node } = await route.pinned({ request: route.other(birthplace) }, () =>
      scene.call('test_simple_text'),
    );
    hold(text.startsWith('This is'), `the tool answered ${text}`);
    hold(!route.knowsNodes || node !== birthplace, `${node} ran it, where the session began`);
    return `initialized on ${birthplace}, called on ${node}`;
  },
};

export const remove: Step = {
  name: 'DELETE on the other node ends it everywhere',
  async play({ route, transport, birthplace, logged, updated }) {
    const { sessionId, protocolVersion } = transport;
    hold(sessionId !== undefined, 'there is no session');
    await route.pinned({ delete: route.other(birthplace) }, () => transport.terminateSession());

    for (const url of route.nodeUrls) {
      const { status } = await route.pinned({ request: url }, async () => {
        const response = await route.fetch(route.url, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            accept: 'application/json, text/event-stream',
            'mcp-session-id': sessionId,
            'mcp-protocol-version': protocolVersion ?? '',
          },
          body: JSON.stringify({ jsonrpc: '2.0', id: 'after', method: 'tools/list' }),
        });
        await response.body?.cancel();
        return response;
      });
      hold(status === 404, `after DELETE a node answered ${status}, not 404`);
    }
    // Looked at now, when a second copy has had its time to arrive.
    const announced = logged.items.filter(({ logger }) => logger === 'announce').length;
    hold(announced === 1, `the notification had been shown ${announced} times`);
    hold(updated.items.length === 1, `the update had been shown ${updated.items.length} times`);
    return 'then 404 from every node; nothing had been shown twice';
  },
};
