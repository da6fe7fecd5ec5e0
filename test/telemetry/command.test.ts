import { expect, it } from 'vitest';
import { startCli } from '../integration/support/cli.js';

/** Node's options for a process in which no exporter of OpenTelemetry is installed. */
const WITHOUT_EXPORTERS = `--import data:text/javascript,${encodeURIComponent(`
import { register } from 'node:module';
register('data:text/javascript,' + encodeURIComponent(\`
export function resolve(name, context, next) {
  if (!name.startsWith('@opentelemetry/exporter')) return next(name, context);
  throw Object.assign(new Error('Cannot find package'), { code: 'ERR_MODULE_NOT_FOUND' });
}\`));
`)}`;

it.each([
  ['--metrics', '9464', '@opentelemetry/exporter-prometheus'],
  ['--otlp', 'http://127.0.0.1:1', '@opentelemetry/exporter-trace-otlp-http'],
])('%s says which packages to install', async (option, value, missing) => {
  const args = ['--upstream', 'http://127.0.0.1:1/mcp', '--port', '0', option, value];
  const command = startCli(args, { NODE_OPTIONS: WITHOUT_EXPORTERS });
  const { code, stderr } = await command.ended;
  expect(code).toBe(4);
  expect(stderr).toMatch(
    new RegExp(`^.*${option} needs packages: npm install @opentelemetry/api `),
  );
  expect(stderr).toContain(missing);
});
