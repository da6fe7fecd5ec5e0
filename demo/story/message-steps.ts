import { randomUUID } from 'node:crypto';
import { hold } from './hold.js';
import type { Exchange } from './route.js';
import { MODEL_TEXT, USER_NAME, type Scene } from './scene.js';
import type { Step } from './session-steps.js';

/** What a server sends on its own account: it finds the client whichever node has the connection. */

export const announce: Step = {
  name: 'a notification from the other node',
  async play(scene) {
    const { route, logged, patienceMs } = scene;
    const holder = route.exchanges.items.find(({ kind }) => kind === 'listen')?.node ?? '?';
    const message = randomUUID();
    const { node } = await route.pinned({ request: route.other(holder) }, () =>
      scene.call('announce', { message }),
    );
    await logged.until(({ data }) => data === message, 'the notification', patienceMs);
    hold(!route.knowsNodes || node !== holder, `${node} sent it, which holds the GET stream`);
    return `sent by ${node}, shown on the stream that ${holder} holds`;
  },
};

export const subscribe: Step = {
  name: 'a subscription, and the change on the other node',
  async play(scene) {
    const { route, client, updated, birthplace, patienceMs } = scene;
    const uri = 'test://watched-resource';
    const from = route.exchanges.items.length;
    await client.subscribeResource({ uri }, { timeout: patienceMs });
    const subscribedOn = scene.since(from, 'request')?.node ?? birthplace;
    const { text, node } = await route.pinned({ request: route.other(subscribedOn) }, () =>
      scene.call('touch', { uri }),
    );
    hold(text.startsWith('Told'), `${node} knew of no subscription`);
    await updated.until((changed) => changed === uri, 'the update', patienceMs);
    return `subscribed on ${subscribedOn}, changed on ${node}`;
  },
};

/** A tool asks the client: it runs on one node, the answer is POSTed to the other. */
async function ask(
  { route, patienceMs }: Scene,
  pins: { request: string | undefined; answer: string | undefined },
  call: () => Promise<{ text: string; node: string }>,
  expected: string,
): Promise<string> {
  const from = route.exchanges.items.length;
  const { text, node } = await route.pinned(pins, call);
  const isAnswer = ({ kind }: Exchange) => kind === 'answer';
  const answer = await route.exchanges.until(isAnswer, 'the answer', patienceMs, from);
  hold(text.includes(expected), `the tool made of the answer: ${text}`);
  hold(!route.knowsNodes || answer.node !== node, `${node} asked and got the answer itself`);
  return `asked by ${node}, answered to ${answer.node}`;
}

export const elicit: Step = {
  name: 'an elicitation answered on the other node',
  play(scene) {
    const { route, birthplace } = scene;
    const pins = { request: route.urlOf(birthplace), answer: route.other(birthplace) };
    const call = () => scene.call('test_elicitation', { message: 'Who are you?' });
    return ask(scene, pins, call, `"username":"${USER_NAME}"`);
  },
};

export const sample: Step = {
  name: 'a sampling answered on the other node',
  play(scene) {
    const { route, birthplace } = scene;
    const pins = { request: route.other(birthplace), answer: route.urlOf(birthplace) };
    const call = () => scene.call('test_sampling', { prompt: 'The question?' });
    return ask(scene, pins, call, MODEL_TEXT);
  },
};
