import type { Scenario } from '../run/bench.js';
import { audit } from './audit.js';
import { counts } from './counts.js';
import { elicitation } from './elicitation.js';
import { fanOut } from './fan-out.js';
import { growth } from './growth.js';
import { handshake } from './handshake.js';
import { largeResults, manyCalls } from './heavy-calls.js';
import { memory } from './memory.js';
import { network } from './network.js';
import { notification } from './notification.js';
import { rehydration } from './rehydration.js';
import { resume } from './resume.js';
import { soak } from './soak.js';
import { telemetry } from './telemetry.js';
import { toolsCall } from './tools-call.js';

/** All scenarios, in the order in which they run. */
export const SCENARIOS: readonly Scenario[] = [
  counts,
  toolsCall,
  network,
  manyCalls,
  largeResults,
  telemetry,
  audit,
  handshake,
  notification,
  elicitation,
  resume,
  rehydration,
  fanOut,
  memory,
  growth,
  soak,
];
