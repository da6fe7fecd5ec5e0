import { expect, it } from 'vitest';
import type { SseReader } from '../support/mcp-http.js';
import { callTool, newClient, useCluster, type Nodes } from './support/cluster.js';
import { seededRandom } from './support/random.js';

const cluster = useCluster();
