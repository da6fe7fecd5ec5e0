import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { z } from 'zod';

/** What `tools/list` is to show, keyword for keyword. */
const advertised = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

/**
 * A tool whose schema uses what only JSON Schema 2020-12 has (SEP-1613, SEP-2106).
 *
 * The SDK prints Zod schemas as draft 7. Zod lays `meta` over what it prints, so a schema written by hand gets
 * through as it is, while the checks stay Zod's.
 */
export function registerSchemaTool(server: McpServer): void {
  const inputSchema = z
    .strictObject({
      name: z.string().optional(),
      address: z.object({ street: z.string().optional(), city: z.string().optional() }).optional(),
      contactMethod: z.enum(['phone', 'email']).optional(),
      phone: z.string().optional(),
      email: z.string().optional(),
    })
    .refine((contact) => contact.phone !== undefined || contact.email !== undefined)
    .meta(advertised);

  server.registerTool(
    'json_schema_2020_12_tool',
    { description: 'Takes a contact, as JSON Schema 2020-12 describes it', inputSchema },
    (contact) => ({ content: [{ type: 'text', text: `Contact: ${JSON.stringify(contact)}` }] }),
  );
}
