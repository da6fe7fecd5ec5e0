// Both kinds in one process. Each entry has the same names in both. A node of each kind share a backplane, and an error of one
// is known to the other.
const assert = require('node:assert');
const express = require('express');
const common = require('mcp-anynode');
const manifest = require('mcp-anynode/package.json');
const { buildServer } = require('./server.cjs');
const { serve } = require('./session.cjs');

async function compareEntries() {
  const dual = Object.entries(manifest.exports).filter(([, conditions]) => conditions.require);
  for (const [name] of dual) {
    const entry = `mcp-anynode${name.slice(1)}`;
    const [ofRequire, ofImport] = [require(entry), await import(entry)];
    assert.deepEqual(Object.keys(ofRequire).sort(), Object.keys(ofImport).sort(), entry);
  }
  return dual.length;
}

async function main() {
  const module = await import('mcp-anynode');
  assert.notEqual(module.anynode, common.anynode);
  const backplane = common.memoryBackplane();
  const nodes = [common, module].map(({ anynode }) => anynode({ server: buildServer, backplane }));
  const played = await serve({ express, nodes });
  const error = await nodes[1].sessions.get('x').then(assert.fail, (reason) => reason);
  assert(error instanceof common.AnynodeError && error instanceof module.AnynodeError);
  console.log(JSON.stringify({ ...played, code: error.code, entries: await compareEntries() }));
}

void main();
