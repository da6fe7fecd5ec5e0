import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The test files that take longest, below `test`. */
const LONGEST = [
  'simulation/mutants/mutants',
  'packaging/package',
  'mutants/mutants',
  'contract/encoded',
  'integration/cli',
  'contract/redis-cluster',
  'cluster/bench',
  'cluster/monitor-page',
  'cluster/conformance-modern',
  'cluster/dead-nodes',
  'cluster/living-nodes',
  'cluster/owner-deaths',
  'cluster/legacy-sse',
  'cluster/conformance',
  'cluster/chaos',
];

/**
 * Starts the longest files first, so that no worker still has a long one when the others are through. Without times of an
 * earlier run vitest begins with the biggest files, and some of the longest are among the smallest.
 */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const long = LONGEST.flatMap((name) =>
      sorted.filter(({ moduleId }) => moduleId.endsWith(`/test/${name}.test.ts`)),
    );
    return [...long, ...sorted.filter((file) => !long.includes(file))];
  }
}
