import type { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { z } from 'zod';
import { CONTACT_SCHEMA } from './contents.js';

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
    .meta(CONTACT_SCHEMA);

  server.registerTool(
    'json_schema_2020_12_tool',
    { description: 'Takes a contact, as JSON Schema 2020-12 describes it', inputSchema },
    (contact) => ({ content: [{ type: 'text', text: `Contact: ${JSON.stringify(contact)}` }] }),
  );
}
