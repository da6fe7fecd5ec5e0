import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import type { CallToolResult, ElicitRequestFormParams } from '@modelcontextprotocol/sdk/types.js';

type Form = ElicitRequestFormParams['requestedSchema'];

const withDefaults: Form = {
  type: 'object',
  properties: {
    name: { type: 'string', default: 'John Doe' },
    age: { type: 'integer', default: 30 },
    score: { type: 'number', default: 95.5 },
    status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
    verified: { type: 'boolean', default: true },
  },
};

const withEnums: Form = {
  type: 'object',
  properties: {
    untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
    titledSingle: {
      type: 'string',
      oneOf: [
        { const: 'value1', title: 'First Option' },
        { const: 'value2', title: 'Second Option' },
        { const: 'value3', title: 'Third Option' },
      ],
    },
    legacyEnum: {
      type: 'string',
      enum: ['opt1', 'opt2', 'opt3'],
      enumNames: ['Option One', 'Option Two', 'Option Three'],
    },
    untitledMulti: {
      type: 'array',
      items: { type: 'string', enum: ['option1', 'option2', 'option3'] },
    },
    titledMulti: {
      type: 'array',
      items: {
        anyOf: [
          { const: 'value1', title: 'First Choice' },
          { const: 'value2', title: 'Second Choice' },
          { const: 'value3', title: 'Third Choice' },
        ],
      },
    },
  },
};

/** Elicitation forms with every kind of field that the protocol knows: defaults (SEP-1034) and enums (SEP-1330). */
export function registerFormTools(server: McpServer): void {
  const form = (name: string, description: string, requestedSchema: Form): void => {
    server.registerTool(name, { description }, async (extra): Promise<CallToolResult> => {
      const { action, content } = await server.server.elicitInput(
        { message: 'Please look over the form.', requestedSchema },
        { relatedRequestId: extra.requestId },
      );
      const line = `Elicitation completed: action=${action}, content=${JSON.stringify(content ?? {})}`;
      return { content: [{ type: 'text', text: line }] };
    });
  };

  form(
    'test_elicitation_sep1034_defaults',
    'Asks with a form whose fields have defaults',
    withDefaults,
  );
  form('test_elicitation_sep1330_enums', 'Asks with a form of the five kinds of enum', withEnums);
}
