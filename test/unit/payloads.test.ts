import { describe, expect, it } from 'vitest';
import type { PayloadCodec } from '../../src/codec/index.js';
import { Payloads } from '../../src/backplane/encoded/payloads.js';
import { systemClock } from '../../src/protocol/timing/clock.js';

const CONTEXT = { sessionId: 's', kind: 'message' } as const;

function payloadsWith(codec: PayloadCodec) {
  const warnings: string[] = [];
  const logger = { warn: (text: string) => void warnings.push(text) };
  return { payloads: new Payloads(codec, { clock: systemClock, logger, nodeId: 'n1' }), warnings };
}

/** A user's codec, which knows nothing of origins. */
const BASE64: PayloadCodec = {
  encode: (text) => Buffer.from(text).toString('base64'),
  decode: (text) => Buffer.from(text, 'base64').toString(),
};

describe('a text and its origin', () => {
  it('are decoded together with any codec', () => {
    const { payloads } = payloadsWith(BASE64);
    payloads.encodeWithOrigin('{}', CONTEXT, 'out g');
    const stored = payloads.encodeWithOrigin('{"a":"\\n"}\n', CONTEXT, 'in - node:n2');
    expect(payloads.decodeWithOrigin(stored, CONTEXT, 'it')).toEqual({
      text: '{"a":"\\n"}\n',
      origin: { nodeId: 'n1', number: 2, purpose: 'in - node:n2' },
    });
  });

  // Nodes without a codec read what such a codec stores.
  it('are stored as the text alone if the codec does not change texts', () => {
    const { payloads } = payloadsWith({ encode: (text) => text, decode: (text) => text });
    expect(payloads.encodeWithOrigin('{}', CONTEXT, 'out g')).toBe('{}');
    expect(payloads.decodeWithOrigin('{}', CONTEXT, 'it')).toEqual({
      text: '{}',
      origin: undefined,
    });
  });

  it.each(['{}', '~1 n1 1\n{}', '~1 n1 x out g\n{}', '~1 n1 1 out g'])(
    'are not read from a text that was encoded without an origin: %j',
    (text) => {
      const { payloads, warnings } = payloadsWith(BASE64);
      expect(
        payloads.decodeWithOrigin(BASE64.encode(text, CONTEXT), CONTEXT, 'it'),
      ).toBeUndefined();
      expect(warnings).toEqual(['mcp-anynode: it was encoded by a node of another release']);
    },
  );
});
