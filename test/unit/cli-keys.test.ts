/** Keys for the command line: how they are read, and the errors for invalid ones. */
import { randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { aesGcmCodec } from '../../src/codec/index.js';
import { codecOf } from '../../src/cli/keys.js';
import { CommandError, EXIT } from '../../src/cli/exit.js';

const [K1, K2] = [randomBytes(32).toString('base64'), randomBytes(32).toString('hex')];
const here = { sessionId: 's', kind: 'message' } as const;
const theirs = aesGcmCodec({ keys: { k1: K1 }, current: 'k1' });

it('encrypts with the first key, and decrypts with all', () => {
  for (const text of [
    `k2=${K2}\nk1=${K1}`,
    `k2=${K2},k1=${K1}`,
    ` # both\n k2=${K2} \r\nk1=${K1}\n`,
  ]) {
    const codec = codecOf({}, text);
    expect(codec?.encode('x', here)).toMatch(/^aes1\.k2\./);
    expect(codec?.decode(theirs.encode('x', here), here)).toBe('x');
    expect(() => codec?.decode('{}', here)).toThrow('not encrypted');
  }
  expect(codecOf({ allowPlaintext: true }, `k1=${K1}`)?.decode('{}', here)).toBe('{}');
  const only = codecOf({ allowPlaintext: true, decryptOnly: true }, `k1=${K1}`);
  expect(only?.encode('x', here)).toBe('x');
});

it('has no codec if no keys are given', () => {
  expect(codecOf({}, undefined)).toBeUndefined();
  expect(codecOf({}, '')).toBeUndefined();
  expect(codecOf({}, '# none\n')).toBeUndefined();
});

it.each([
  ['a key without an id', K1, 'entry 1 is not <id>=<key>'],
  ['the same in another form', Buffer.from(K1, 'base64').toString('base64url'), 'entry 1 is not'],
  ['digits without an id', K2, 'entry 1 is not <id>=<key>'],
  ['an id without a key', 'k1=', 'entry 1 is not <id>=<key>'],
  ['a name that is none', `k 1=${K1}`, 'entry 1 is not <id>=<key>'],
  ['an id twice', `k1=${K1}\nk2=${K2}\nk1=${K1}`, 'entry 3 repeats an id'],
  ['a key that is too short', `k1=${K1}\nk2=c2VjcmV0`, 'the key "k2" has to have 32 bytes'],
  ['a passphrase', 'k1=correct horse', 'the key "k1" has to be bytes, or text in base64'],
])('%s is wrong usage, and nothing of the key is said', (_, text, said) => {
  let thrown: unknown;
  try {
    codecOf({}, text);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(CommandError);
  expect(thrown).toMatchObject({ exitCode: EXIT.usage });
  const { message } = thrown as CommandError;
  expect(message).toContain(said);
  for (const secret of [K1.slice(0, 8), K2.slice(0, 8), 'c2VjcmV0', 'horse']) {
    expect(message).not.toContain(secret);
  }
});

it('a command that needs keys says so if there are none', () => {
  expect(() => codecOf({ allowPlaintext: true }, '')).toThrow('--allow-plaintext needs keys');
  expect(() => codecOf({ decryptOnly: true }, '')).toThrow('--decrypt-only needs keys');
  expect(() => codecOf({ decryptOnly: true }, `k1=${K1}`)).toThrow('needs --allow-plaintext');
});
