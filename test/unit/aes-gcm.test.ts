import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { aesGcmCodec } from '../../src/codec/aes-gcm.js';
import type { PayloadContext } from '../../src/backplane/encoded/payloads.js';

const K1 = randomBytes(32);
const K2 = randomBytes(32);
const here: PayloadContext = { sessionId: 's1', kind: 'message' };

describe('an encrypted text', () => {
  const codec = aesGcmCodec({ keys: { k1: K1 }, current: 'k1' });

  it('decrypts to the original, whatever text that is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(codec.decode(codec.encode(text, here), here)).toBe(text);
      }),
    );
  });

  it('is one word, names its key, and differs each time', () => {
    const [one, two] = [codec.encode('{"a":1}', here), codec.encode('{"a":1}', here)];
    expect(one).toMatch(/^aes1\.k1\.[A-Za-z0-9_-]+$/);
    expect(one).not.toBe(two);
  });

  it('decrypts only in its session and only for its purpose', () => {
    const text = codec.encode('secret', here);
    for (const other of [{ sessionId: 's2' }, { kind: 'state' }, { kind: 'context' }] as const) {
      expect(() => codec.decode(text, { ...here, ...other })).toThrow('key "k1" does not fit');
    }
  });

  it('is refused if any byte was changed or is missing', () => {
    const text = codec.encode('secret', here);
    const from = 'aes1.k1.'.length;
    for (let at = from; at < text.length - 1; at += 1) {
      const changed = text[at] === 'A' ? 'B' : 'A';
      const tampered = text.slice(0, at) + changed + text.slice(at + 1);
      expect(() => codec.decode(tampered, here), `at ${at}`).toThrow();
    }
    for (const length of [0, from, from + 10, text.length - 4]) {
      expect(() => codec.decode(text.slice(0, length), here)).toThrow();
    }
  });

  it('is refused by another key of the same name, without a word about keys in the error', () => {
    const other = aesGcmCodec({ keys: { k1: K2 }, current: 'k1' });
    const text = codec.encode('secret', here);
    expect(() => other.decode(text, here)).toThrow(/^key "k1" does not fit/);
  });
});

describe('keys', () => {
  it('may be bytes, base64, base64url or hexadecimal digits', () => {
    const text = aesGcmCodec({ keys: { k: K1 }, current: 'k' }).encode('x', here);
    for (const key of [K1.toString('base64'), K1.toString('base64url'), K1.toString('hex')]) {
      expect(aesGcmCodec({ keys: { k: key }, current: 'k' }).decode(text, here)).toBe('x');
    }
    expect(aesGcmCodec({ keys: { k: new Uint8Array(K1) }, current: 'k' }).decode(text, here)).toBe(
      'x',
    );
  });

  it('can be rotated: the new one encrypts, and the old one decrypts while it is configured', () => {
    const old = aesGcmCodec({ keys: { k1: K1 }, current: 'k1' });
    const added = aesGcmCodec({ keys: { k1: K1, k2: K2 }, current: 'k1' });
    const turned = aesGcmCodec({ keys: { k1: K1, k2: K2 }, current: 'k2' });
    const rotated = aesGcmCodec({ keys: { k2: K2 }, current: 'k2' });
    const [before, after] = [old.encode('before', here), turned.encode('after', here)];
    expect(after).toMatch(/^aes1\.k2\./);
    for (const codec of [added, turned]) {
      expect([before, after].map((text) => codec.decode(text, here))).toEqual(['before', 'after']);
    }
    expect(rotated.decode(after, here)).toBe('after');
    expect(() => rotated.decode(before, here)).toThrow('key "k1", which is not among the keys');
    expect(() => old.decode(after, here)).toThrow('key "k2", which is not among the keys');
  });

  it.each([
    ['too short', { k: randomBytes(16) }, 'k', 'has to have 32 bytes, and has 16'],
    [
      'a passphrase',
      { k: 'correct horse battery staple' },
      'k',
      'has to be bytes, or text in base64',
    ],
    ['a short text', { k: 'c2VjcmV0' }, 'k', 'has to have 32 bytes, and has 6'],
    ['nothing', { k: undefined as never }, 'k', 'has to be bytes'],
    ['of an odd name', { 'a b': K1 }, 'a b', 'needs an id of up to 64'],
    ['of no name', { '': K1 }, '', 'needs an id of up to 64'],
    ['not the current one', { k1: K1 }, 'k2', '`current` is "k2", but `keys` has "k1"'],
    ['none', {}, 'k', '`keys` has none'],
    ['not given', undefined as never, 'k', '`keys` has none'],
    ['not chosen', { k: K1 }, undefined as never, '`current` is undefined'],
  ])(
    'that are %s are refused at once',
    (_, keys: Record<string, Uint8Array | string>, current, text) => {
      expect(() => aesGcmCodec({ keys, current })).toThrow(TypeError);
      expect(() => aesGcmCodec({ keys, current })).toThrow(text);
    },
  );
});

describe('plaintext', () => {
  it('is refused, unless it is allowed', () => {
    const strict = aesGcmCodec({ keys: { k: K1 }, current: 'k' });
    const lax = aesGcmCodec({ keys: { k: K1 }, current: 'k', allowPlaintext: true });
    expect(() => strict.decode('{"a":1}', here)).toThrow('`allowPlaintext` is not set');
    expect(lax.decode('{"a":1}', here)).toBe('{"a":1}');
    expect(lax.encode('{"a":1}', here)).not.toContain('a":1');
    // A text that is marked as encrypted never counts as plaintext.
    expect(() => lax.decode('aes1.', here)).toThrow();
    expect(() => lax.decode('aes1.k.AAAA', here)).toThrow('too short');
  });

  it('is what a node writes that is configured to decrypt only', () => {
    const options = { keys: { k: K1 }, current: 'k', decryptOnly: true };
    expect(() => aesGcmCodec(options)).toThrow('needs `allowPlaintext`');
    const codec = aesGcmCodec({ ...options, allowPlaintext: true });
    const encrypted = aesGcmCodec({ keys: { k: K1 }, current: 'k' }).encode('x', here);
    expect([codec.encode('x', here), codec.decode('x', here)]).toEqual(['x', 'x']);
    expect(codec.decode(encrypted, here)).toBe('x');
  });
});
