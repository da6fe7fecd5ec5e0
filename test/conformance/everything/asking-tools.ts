import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  inputRequired,
  type CallToolResult,
  type ClientCapabilities,
  type InputRequests,
  type InputRequiredResult,
  type McpServer,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import type { Surroundings } from './server.js';

type Answer = CallToolResult | InputRequiredResult;
type Responses = ServerContext['mcpReq']['inputResponses'];

const text = (line: string): CallToolResult => ({ content: [{ type: 'text', text: line }] });

/** Asks for one value, by the name that it has in the form. */
export const form = (message: string, name: string, type: 'string' | 'boolean' = 'string') => {
  const properties = { [name]: type === 'string' ? { type } : { type } };
  return inputRequired.elicit({
    message,
    requestedSchema: { type: 'object', properties, required: [name] },
  });
};

const sampling = (question: string) =>
  inputRequired.createMessage({
    messages: [{ role: 'user', content: { type: 'text', text: question } }],
    maxTokens: 50,
  });

const named = (responses: Responses, key: string, name: string): unknown =>
  acceptedContent(responses, key)?.[name];

const sampled = (responses: Responses, key: string): string | undefined =>
  (responses?.[key] as { content?: { text?: string } } | undefined)?.content?.text;

const rooted = (responses: Responses): unknown[] | undefined =>
  (responses?.['client_roots'] as { roots?: unknown[] } | undefined)?.roots;

/**
 * Tools that ask the client something: the answer is what they need to know, and the call comes again with it, to whichever
 * node. What they have to remember until then goes with the client, sealed.
 */
export function registerAskingTools(
  server: McpServer,
  { requestState }: Pick<Surroundings, 'requestState'>,
): void {
  const asking = (
    name: string,
    answer: (mcpReq: ServerContext['mcpReq']) => Answer | Promise<Answer>,
  ): void => {
    server.registerTool(
      `test_input_required_result_${name}`,
      {
        description: 'Asks the client, and answers when it is called again',
        inputSchema: z.object({}),
      },
      (_, { mcpReq }) => answer(mcpReq),
    );
  };
  const confirm = async (tool: string) =>
    inputRequired({
      inputRequests: { confirm: form('Please confirm', 'ok', 'boolean') },
      requestState: await requestState.mint({ tool }),
    });

  asking('elicitation', ({ inputResponses }) => {
    const name = named(inputResponses, 'user_name', 'name');
    if (typeof name === 'string') return text(`Hello, ${name}!`);
    return inputRequired({ inputRequests: { user_name: form('What is your name?', 'name') } });
  });

  asking('sampling', ({ inputResponses }) => {
    const answer = sampled(inputResponses, 'capital_question');
    if (answer !== undefined) return text(`Sampling response: ${answer}`);
    const question = sampling('What is the capital of France?');
    return inputRequired({ inputRequests: { capital_question: question } });
  });

  asking('list_roots', ({ inputResponses }) => {
    const roots = rooted(inputResponses);
    if (roots !== undefined) return text(`Roots: ${JSON.stringify(roots)}`);
    return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
  });

  asking('request_state', ({ inputResponses, requestState: state }) =>
    state() !== undefined && named(inputResponses, 'confirm', 'ok') !== undefined
      ? text('state-ok')
      : confirm('request_state'),
  );

  asking('tampered_state', ({ inputResponses, requestState: state }) =>
    state() !== undefined && named(inputResponses, 'confirm', 'ok') !== undefined
      ? text('the state is as it was sealed')
      : confirm('tampered_state'),
  );

  asking('multiple_inputs', async ({ inputResponses }) => {
    const name = named(inputResponses, 'user_name', 'name');
    const greeting = sampled(inputResponses, 'greeting');
    const roots = rooted(inputResponses);
    if (typeof name === 'string' && greeting !== undefined && roots !== undefined) {
      return text(`${greeting} ${name}, with ${roots.length} roots`);
    }
    return inputRequired({
      inputRequests: {
        user_name: form('What is your name?', 'name'),
        greeting: sampling('Generate a greeting'),
        client_roots: inputRequired.listRoots(),
      },
      requestState: await requestState.mint({ tool: 'multiple_inputs' }),
    });
  });

  asking('multi_round', async ({ inputResponses, requestState: state }) => {
    const { round = 0, name } = state<{ round: number; name?: unknown }>() ?? {};
    if (round === 2) {
      return text(`${String(name)} likes ${String(named(inputResponses, 'step2', 'color'))}`);
    }
    const [key, question, given] =
      round === 0
        ? (['step1', form('Step 1: What is your name?', 'name'), undefined] as const)
        : ([
            'step2',
            form('Step 2: What is your favorite color?', 'color'),
            named(inputResponses, 'step1', 'name'),
          ] as const);
    return inputRequired({
      inputRequests: { [key]: question },
      requestState: await requestState.mint({ round: round + 1, name: given }),
    });
  });

  asking('capabilities', ({ inputResponses, envelope }) => {
    if (inputResponses !== undefined) return text('answered');
    // The SDK's published type of the envelope is empty.
    const declared = envelope as Record<string, ClientCapabilities> | undefined;
    const {
      elicitation,
      sampling: samples,
      roots,
    } = declared?.[CLIENT_CAPABILITIES_META_KEY] ?? {};
    const inputRequests: InputRequests = {
      ...(elicitation && { user_name: form('What is your name?', 'name') }),
      ...(samples && { greeting: sampling('Generate a greeting') }),
      ...(roots && { client_roots: inputRequired.listRoots() }),
    };
    if (Object.keys(inputRequests).length === 0) return text('There is nothing to ask this client');
    return inputRequired({ inputRequests });
  });
}
