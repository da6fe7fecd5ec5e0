// Makes one file of `require.cjs`, without minifying it, so that errors can be read.
const { writeFile } = require('node:fs/promises');
const { promisify } = require('node:util');

const BUNDLERS = {
  async esbuild(outfile) {
    const options = { entryPoints: ['require.cjs'], bundle: true, platform: 'node', outfile };
    const { warnings } = await require('esbuild').build({ ...options, logLevel: 'silent' });
    return warnings.map(({ text }) => text);
  },
  async webpack(filename) {
    const output = { path: __dirname, filename };
    const settings = { mode: 'production', target: 'node20', optimization: { minimize: false } };
    const stats = await promisify(require('webpack'))({
      ...settings,
      entry: './require.cjs',
      output,
    });
    const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
    // Express looks for the engines of its views by name.
    const other = warnings.filter(({ moduleName }) => !/express\/lib\/view\.js$/.test(moduleName));
    return [...errors, ...other].map(({ message }) => message);
  },
  async ncc(filename) {
    const options = { cache: false, quiet: true };
    const { code, assets } = await require('@vercel/ncc')(`${__dirname}/require.cjs`, options);
    await writeFile(filename, code);
    return Object.keys(assets);
  },
};

async function main([bundler]) {
  const wrong = await BUNDLERS[bundler](`${bundler}.cjs`);
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
}

void main(process.argv.slice(2));
