import { Cluster, Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { CommandError, EXIT } from './exit.js';

export interface RedisChoice {
  redis?: string | undefined;
  cluster?: boolean | undefined;
  sentinel?: string | undefined;
}

/**
 * Returns the Redis of the options in the form that the library takes, or `undefined` if no option names one. A client that
 * is returned is never connected. The library copies its settings.
 */
export function redisOf({
  redis,
  cluster,
  sentinel,
}: RedisChoice): string | Redis | Cluster | undefined {
  if (cluster === true && sentinel !== undefined) {
    throw new CommandError(EXIT.usage, '--cluster and --sentinel cannot be used together');
  }
  if (redis === undefined || redis === '') {
    if (cluster !== true && sentinel === undefined) return undefined;
    throw new CommandError(EXIT.usage, '--cluster and --sentinel need --redis');
  }
  const urls = redis.split(',').map(urlOf);
  const [first] = urls;
  if (first === undefined || (urls.length > 1 && cluster !== true && sentinel === undefined)) {
    throw new CommandError(EXIT.usage, 'several URLs need --cluster or --sentinel');
  }
  if (cluster === true) {
    // The user, password and TLS of the first URL hold for all servers, because servers that are found later have no URL.
    return new Cluster(urls.map(placeOf), {
      lazyConnect: true,
      redisOptions: credentialsOf(first),
    });
  }
  if (sentinel !== undefined) {
    const { tls, ...rest } = credentialsOf(first);
    return new Redis({
      ...{ ...rest, lazyConnect: true, name: sentinel, sentinels: urls.map(placeOf) },
      ...(tls !== undefined && { tls, sentinelTLS: tls, enableTLSForSentinelMode: true }),
    });
  }
  return redis;
}

/** Returns the URLs for messages, without user and password. */
export function placesOf(redis: string): string {
  return redis
    .split(',')
    .map(urlOf)
    .map(({ protocol, host }) => `${protocol}//${host}`)
    .join(',');
}

function urlOf(text: string): URL {
  if (/^rediss?:\/\//.test(text) && URL.canParse(text)) return new URL(text);
  // The message does not repeat the text, which may contain a password.
  throw new CommandError(
    EXIT.usage,
    '--redis must be a URL such as redis://localhost:6379 or rediss://user:password@host:6380',
  );
}

function placeOf({ hostname, port }: URL): { host: string; port: number } {
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 6379) };
}

function credentialsOf({
  protocol,
  username,
  password,
}: URL): Pick<RedisOptions, 'username' | 'password' | 'tls'> {
  return {
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
    ...(protocol === 'rediss:' && { tls: {} }),
  };
}
