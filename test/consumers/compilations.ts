/** A way in which TypeScript compiles a program that uses the package. */
export interface Compilation {
  typescript: '5.9' | '6.0';
  module: 'CommonJS' | 'Node16' | 'NodeNext' | 'ESNext';
  /** With `exactOptionalPropertyTypes`. */
  exact: boolean;
  /** The major version of `@types/express`. */
  expressTypes: 'none' | 4 | 5;
}

const MODULES = ['CommonJS', 'Node16', 'NodeNext', 'ESNext'] as const;

/** All ways. */
export const ALL: Compilation[] = (['5.9', '6.0'] as const).flatMap((typescript) =>
  MODULES.flatMap((module) =>
    [true, false].flatMap((exact) =>
      (['none', 4, 5] as const).map((expressTypes) => ({
        typescript,
        module,
        exact,
        expressTypes,
      })),
    ),
  ),
);

/** Some ways, among which is each pair of two values. */
export const PAIRS: Compilation[] = [
  { typescript: '5.9', module: 'CommonJS', exact: true, expressTypes: 'none' },
  { typescript: '6.0', module: 'CommonJS', exact: false, expressTypes: 4 },
  { typescript: '5.9', module: 'CommonJS', exact: false, expressTypes: 5 },
  { typescript: '6.0', module: 'Node16', exact: false, expressTypes: 'none' },
  { typescript: '5.9', module: 'Node16', exact: true, expressTypes: 4 },
  { typescript: '6.0', module: 'Node16', exact: true, expressTypes: 5 },
  { typescript: '5.9', module: 'NodeNext', exact: false, expressTypes: 'none' },
  { typescript: '6.0', module: 'NodeNext', exact: true, expressTypes: 4 },
  { typescript: '5.9', module: 'NodeNext', exact: true, expressTypes: 5 },
  { typescript: '6.0', module: 'ESNext', exact: true, expressTypes: 'none' },
  { typescript: '5.9', module: 'ESNext', exact: false, expressTypes: 4 },
  { typescript: '6.0', module: 'ESNext', exact: false, expressTypes: 5 },
];

/** The settings of the compiler. It checks the types of all packages (`skipLibCheck: false`). */
export function compilerOptionsOf({
  typescript,
  module,
  exact,
  expressTypes,
}: Compilation): object {
  const isOldResolution = module === 'CommonJS';
  return {
    target: 'ES2022',
    lib: ['ES2023'],
    module,
    moduleResolution: isOldResolution ? 'node10' : module === 'ESNext' ? 'bundler' : module,
    ...(isOldResolution && typescript === '6.0' && { ignoreDeprecations: '6.0' }),
    ...(expressTypes === 4 && { paths: { express: ['./node_modules/@types/express4'] } }),
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: exact,
    skipLibCheck: false,
    noEmit: true,
  };
}
