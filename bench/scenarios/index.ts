import type { Scenario } from '../run/bench.js';
import { toolsCall } from './tools-call.js';

/** In the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [toolsCall];
