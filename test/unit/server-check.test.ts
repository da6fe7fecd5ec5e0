import { describe, expect, it } from 'vitest';
import { refusal } from '../../src/backplane/redis/connection/retryable-replies.js';
import { evicts, unsupported } from '../../src/backplane/redis/connection/server-check.js';

const info = (...lines: string[]): string => ['# Server', ...lines, ''].join('\r\n');

describe('the version of a server', () => {
  it.each(['6.2.0', '6.2.14', '6.10.1', '7.0.15', '8.2.1', '10.0.0', '255.255.255'])(
    '%s is new enough',
    (version) => {
      expect(
        unsupported(info(`redis_version:${version}`, 'redis_mode:standalone')),
      ).toBeUndefined();
    },
  );
  it.each(['6.0.20', '5.0.7', '3.2.100', '6.1.241'])('%s is too old', (version) => {
    expect(unsupported(info(`redis_version:${version}`))).toContain(version);
  });
  it('of Valkey is the version of the Redis that it is compatible with', () => {
    expect(
      unsupported(info('redis_version:7.2.4', 'server_name:valkey', 'valkey_version:8.1.0')),
    ).toBeUndefined();
  });
  it('is accepted if the server does not report it', () => {
    expect(unsupported(info('redis_mode:standalone'))).toBeUndefined();
    expect(unsupported(info('redis_version:unknown'))).toBeUndefined();
    expect(unsupported('')).toBeUndefined();
  });
});

describe('the policy of a full server', () => {
  it('is refused if it evicts keys', () => {
    expect(evicts(info('maxmemory:0', 'maxmemory_policy:allkeys-lru'))).toBe('allkeys-lru');
    expect(evicts(info('maxmemory_policy:noeviction'))).toBeUndefined();
    expect(evicts(info('maxmemory:0'))).toBeUndefined();
  });
});

describe('a reply that means "not now"', () => {
  it.each([
    ["READONLY You can't write against a read only replica.", 'READONLY'],
    [
      "OOM command not allowed when used memory > 'maxmemory'. script: 1a2b, on @user_script:9.",
      'OOM',
    ],
    // Redis 6.2 wraps the error of a command in a script.
    [
      "ERR Error running script (call to f_1a2b): @user_script:120: @user_script: 120: -OOM command not allowed when used memory > 'maxmemory'.",
      'OOM',
    ],
    [
      "ERR Error running script (call to f_1a2b): @user_script:9: @user_script: 9: -READONLY You can't write against a read only replica.",
      'READONLY',
    ],
    ['NOREPLICAS Not enough good replicas to write.', 'NOREPLICAS'],
    ['TRYAGAIN Multiple keys request during rehashing of slot', 'TRYAGAIN'],
  ])('is known: %s', (message, word) => {
    expect(refusal(message)).toBe(word);
  });
  it.each([
    'WRONGTYPE Operation against a key holding the wrong kind of value',
    "NOPERM this user has no permissions to run the 'xadd' command",
    'ERR user_script:12: OOM is what I called it',
  ])('is not: %s', (message) => {
    expect(refusal(message)).toBeUndefined();
  });
});
