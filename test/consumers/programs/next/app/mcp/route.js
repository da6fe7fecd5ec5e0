import { mcp } from '../../lib/mcp.js';

export const dynamic = 'force-dynamic';
const handle = (request) => mcp().fetch(request);
export { handle as GET, handle as POST, handle as DELETE };
