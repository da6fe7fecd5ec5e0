import type { World } from '../world.js';
import { announced, counted } from './application.js';
import { recordedOnce, recordsEnd, recordsFollow } from './audit.js';
import {
  answersArrive,
  answersBelong,
  cancelled,
  endsOnce,
  fenced,
  livingAreLeft,
  nobodyWaits,
  requestsEnd,
  runsOnce,
} from './requests.js';
import {
  acknowledgedIsStored,
  endedEverywhere,
  expiresIdle,
  remembered,
  statuses,
  strangers,
} from './sessions.js';
import { legacyAnswered, legacyBelongs, legacyEndsTogether, legacyInOrder } from './legacy.js';
import { limits } from './limits.js';
import { formerAreSilent, handlersStop, oneOwner } from './owners.js';
import {
  queues,
  queuesAreRead,
  tasksAreAnswered,
  tasksAreTold,
  tasksEnd,
  tasksEndOnce,
} from './tasks.js';
import { inOrder, madeUpFor, nothingSkipped, onOneStream, stored } from './streams.js';

/**
 * Yields the violations of one invariant: each says what was expected and what was seen. The numbers in the names are those
 * of the promises in docs/guarantees.md.
 */
export type Check = (world: World) => Iterable<string>;

const CHECKS: Record<string, Check> = {
  '1 in order': inOrder,
  '1 nothing skipped': nothingSkipped,
  '1 made up for': madeUpFor,
  '1 stored': stored,
  '2 on one stream': onOneStream,
  '3 ends once': endsOnce,
  '3 runs once': runsOnce,
  '3 nobody waits': nobodyWaits,
  '3 fenced': fenced,
  '3 living are left': livingAreLeft,
  '3 answers arrive': answersArrive,
  '3 answers belong': answersBelong,
  '3 requests end': requestsEnd,
  '3 cancelled': cancelled,
  '4 ended everywhere': endedEverywhere,
  '5 strangers': strangers,
  '6 statuses': statuses,
  '6 acknowledged is stored': acknowledgedIsStored,
  '4 expires idle': expiresIdle,
  '4 handlers stop': handlersStop,
  '7 limits': limits,
  '9 one owner': oneOwner,
  '9 former owners are silent': formerAreSilent,
  '10 legacy in order': legacyInOrder,
  '10 legacy answered': legacyAnswered,
  '10 legacy answers belong': legacyBelongs,
  '10 legacy ends together': legacyEndsTogether,
  '10 tasks end once': tasksEndOnce,
  '10 tasks are told': tasksAreTold,
  '10 tasks are answered': tasksAreAnswered,
  '10 tasks end': tasksEnd,
  '10 queues': queues,
  '10 queues are read': queuesAreRead,
  'shape is remembered': remembered,
  'state is counted': counted,
  'changes are announced': announced,
  'audit: recorded once': recordedOnce,
  'audit: records follow': recordsFollow,
  'audit: records end': recordsEnd,
};

/** Returns the violations after everything has settled. An empty list means that all invariants hold. */
export function violationsOf(world: World): string[] {
  return Object.entries(CHECKS).flatMap(([name, check]) =>
    [...check(world)].map((text) => `${name}: ${text}`),
  );
}
