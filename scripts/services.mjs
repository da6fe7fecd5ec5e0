// Makes sure that the programs which tests and demo run beside Node are installed: redis-server and nginx, prometheus, postgresql,
// and for the tests of the monitor's page chromium.
//
//     node scripts/services.mjs [redis-server] [nginx] [prometheus] [postgresql] [chromium]
//
// Without a name it looks after the first two. WITHOUT=prometheus,chromium leaves these out, and npm test then leaves out the tests
// that need them. Almost all tests need Redis; npm run test:unit has those that do not.
//
// What is there already costs nothing and prints nothing. What is missing is installed with the system's package manager
// where that is possible without a question; else it says what to install and ends with code 1. No service is started
// by it: tests and demo start their own.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, readdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** What is asked for without arguments. */
const usual = ['redis-server', 'nginx'];
const known = [...usual, 'prometheus', 'postgresql', 'chromium'];
/** Other names of a program. */
const names = { chromium: ['chromium-browser', 'google-chrome'], postgresql: ['postgres'] };
const systemFolders = ['/usr/sbin', '/usr/local/sbin', '/sbin', '/opt/homebrew/bin'];

/** Folders with a folder for each version of PostgreSQL, whose programs are in `bin` (Debian, Fedora) or beside it (Alpine). */
const postgresFolders = ['/usr/lib/postgresql', '/usr', '/usr/libexec', '/opt/homebrew/opt'];

/** Each is asked for in this order; `packages` gives the package where its name is not that of the program. */
const managers = [
  {
    program: 'apt-get',
    needsRoot: true,
    packages: {},
    // Debian starts a service when it is installed, and makes a database, unless these files say no.
    script: (packages) => `
      set -e
      cluster=/etc/postgresql-common/createcluster.d/none.conf
      policy=/usr/sbin/policy-rc.d
      made=$cluster
      trap 'rm -f $made' EXIT
      mkdir -p $(dirname $cluster)
      echo 'create_main_cluster = false' > $cluster
      if [ ! -e $policy ]; then
        made="$cluster $policy"
        printf '#!/bin/sh\\nexit 101\\n' > $policy
        chmod +x $policy
      fi
      export DEBIAN_FRONTEND=noninteractive
      apt-get update -q
      apt-get install -q -y --no-install-recommends ${packages}`,
  },
  {
    program: 'apk',
    needsRoot: true,
    packages: { 'redis-server': 'redis' },
    script: (packages) => `apk add --no-cache ${packages}`,
  },
  {
    program: 'dnf',
    needsRoot: true,
    packages: {
      'redis-server': 'redis',
      prometheus: 'golang-github-prometheus',
      postgresql: 'postgresql-server',
    },
    script: (packages) => `dnf install -y ${packages}`,
  },
  {
    program: 'brew',
    needsRoot: false,
    packages: { 'redis-server': 'redis' },
    script: (packages) => `brew install ${packages}`,
  },
];

function find(program) {
  const folders = [...(process.env.PATH ?? '').split(delimiter), ...systemFolders];
  if (program === 'postgresql') folders.push(...foldersOfPostgres());
  return [program, ...(names[program] ?? [])]
    .flatMap((name) => folders.map((folder) => join(folder, name)))
    .find(isExecutable);
}

function foldersOfPostgres() {
  return postgresFolders.flatMap((folder) =>
    namesIn(folder)
      .filter((version) => /^(\d+|(pgsql-|postgresql@?)\d+)$/.test(version))
      .flatMap((version) => [join(folder, version, 'bin'), join(folder, version)]),
  );
}

function namesIn(folder) {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Runs a shell script, as root if need be; `false` if that is not allowed or if it fails. Its output goes to stderr. */
function run({ needsRoot, script }, packages) {
  const shell = ['sh', '-c', script(packages)];
  const becomesRoot = needsRoot && process.getuid?.() !== 0;
  const [program, ...args] = becomesRoot ? ['sudo', '-n', ...shell] : shell;
  const { status } = spawnSync(program, args, { stdio: ['ignore', 2, 2] });
  return status === 0;
}

/** How to run the tests without these programs. */
function withoutThem(missing) {
  if (missing.includes('redis-server'))
    return 'To run only the tests that need no Redis: npm run test:unit';
  return `To leave out the tests that need it: WITHOUT=${missing.join(',')} npm test`;
}

function main() {
  const without = (process.env.WITHOUT ?? '').split(',');
  const named = process.argv.length > 2 ? process.argv.slice(2) : usual;
  const wanted = named.filter((program) => !without.includes(program));
  const unknown = wanted.filter((program) => !known.includes(program));
  if (unknown.length > 0) {
    console.error(`Unknown: ${unknown.join(', ')}. It installs ${known.join(', ')}.`);
    return 1;
  }

  const missing = wanted.filter((program) => find(program) === undefined);
  if (missing.length === 0) return 0;

  const manager = managers.find(({ program }) => find(program) !== undefined);
  if (manager !== undefined) {
    const packages = missing.map((program) => manager.packages[program] ?? program).join(' ');
    console.error(`Not installed: ${missing.join(', ')}. Installing it with ${manager.program}.`);
    if (run(manager, packages) && missing.every((program) => find(program) !== undefined)) return 0;
  }
  console.error(`
Please install ${missing.join(' and ')}, for instance:
  Debian, Ubuntu   sudo apt-get install redis-server nginx prometheus postgresql chromium
  Alpine           sudo apk add redis nginx prometheus postgresql chromium
  Fedora           sudo dnf install redis nginx golang-github-prometheus postgresql-server chromium
  macOS            brew install redis nginx prometheus postgresql chromium

${withoutThem(missing)}
`);
  return 1;
}

process.exitCode = main();
