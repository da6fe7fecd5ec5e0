import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The test files that take longest, below `test`. */
const LONGEST = [
  'simulation/mutants/mutants',
  'packaging/consumers',
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
 * Starts the files that take longest first, so that no worker still runs one when the others are done. Without times of an
 * earlier run, vitest begins with the biggest files, but some small files take longest.
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
