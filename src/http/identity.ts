/** Who is calling, as the usual authorization middlewares leave it on a request. */
import type { Request } from 'express';

/** Where something was found that says who is calling. */
type Place = 'auth' | 'user' | 'oidc' | 'oauth' | 'kauth';

type Scalar = string | [kind: string, text: string];

export interface Identity {
  place: Place;
  issuer: Scalar | null;
  subject: Scalar | null;
  client: Scalar | null;
}

/** Something is there that says who is calling, and nothing of it is known. */
export interface Unreadable {
  place: Place;
  /** Names of its fields, for the log; never a value, which may be a secret. */
  fields: string[];
}

type Claims = Record<string, unknown>;

/** What a middleware leaves on a request. */
interface Marked {
  auth?: unknown;
  user?: unknown;
  oidc?: unknown;
  kauth?: unknown;
  res?: { locals?: unknown };
}

interface PlaceReader {
  place: Place;
  find: (req: Marked) => unknown;
  /** The objects in what was found that may have claims, the most specific first. */
  claimsOf: (found: Claims, req: Marked) => unknown[];
}

/**
 * - `req.auth`: the SDK's `AuthInfo` (claims of the user in `extra`, or in `payload` or `claims` there), the payload of express-jwt, `{ payload }` of
 *   express-oauth2-jwt-bearer, `{ subject, issuer, claims }` of mcp-auth, `{ user }` of express-basic-auth;
 * - `req.user`: Passport, express-jwt before version 7, and most others;
 * - `req.oidc`: express-openid-connect;
 * - `res.locals.oauth.token`: express-oauth-server;
 * - `req.kauth`: keycloak-connect.
 */
const PLACES: PlaceReader[] = [
  { place: 'auth', find: ({ auth }) => auth, claimsOf: authClaims },
  { place: 'user', find: ({ user }) => user, claimsOf: (user) => [user] },
  {
    place: 'oidc',
    find: ({ oidc }) => at(oidc, 'user'),
    claimsOf: (user, { oidc }) => [at(oidc, 'idTokenClaims'), user],
  },
  {
    place: 'oauth',
    find: ({ res }) => at(at(res?.locals, 'oauth'), 'token'),
    claimsOf: (token) => [token, at(token, 'client')],
  },
  {
    place: 'kauth',
    find: ({ kauth }) => at(at(kauth, 'grant'), 'access_token'),
    claimsOf: (token) => [at(token, 'content')],
  },
];

/** A token verifier may put the payload of a token into `extra` as it is, or under a name of its own. */
function authClaims(auth: Claims): unknown[] {
  const { extra, payload, claims } = auth;
  return [extra, at(extra, 'payload'), at(extra, 'claims'), payload, claims, auth];
}

/** In this order. The names after the ids may change; they count where there is no id, so as to tell users apart all the same. */
const SUBJECTS = [
  ...['sub', 'subject', 'userId', 'user_id', 'uid', 'oid', 'id', '_id'],
  ...['username', 'preferred_username', 'upn', 'login', 'email'],
];
/** Passport names the service that a profile is of: its ids are that service's own. */
const ISSUERS = ['iss', 'issuer', 'provider'];
const CLIENTS = ['clientId', 'client_id', 'azp', 'cid', 'appid'];

/**
 * Who is calling. The first place with a subject counts; else the first with a client (a client that acts for itself), but
 * only where everything that is there can be read. `undefined`: nothing is there, the caller has no name.
 */
export function identityOf(req: Request): Identity | Unreadable | undefined {
  let client: Identity | undefined;
  let unreadable: Unreadable | undefined;
  const marked = req as unknown as Marked;
  for (const { place, find, claimsOf } of PLACES) {
    const found = find(marked);
    if (found === undefined || found === null || found === false) continue;
    // Some leave the name alone; at `req.auth` a text may be a token.
    const named = place === 'user' ? [{ username: found }] : [];
    const identity = readIdentity(place, isObject(found) ? claimsOf(found, marked) : named);
    if (identity.subject !== null) return identity;
    if (identity.client !== null) client ??= identity;
    else unreadable ??= { place, fields: isObject(found) ? Object.keys(found) : [] };
  }
  return unreadable ?? client;
}

function readIdentity(place: Place, given: unknown[]): Identity {
  const claims = given.filter(isObject);
  const first = (names: string[]): Scalar | null =>
    firstOf(claims.flatMap((each) => names.map((name) => scalarOf(each[name]))));
  // The token of an OAuth server, and the user of express-basic-auth or in `extra`: `user` is an object or a name.
  const users = claims.flatMap(({ user }) =>
    isObject(user) ? SUBJECTS.map((name) => scalarOf(user[name])) : [scalarOf(user)],
  );
  const isOAuth = place === 'oauth';
  // What an OAuth server calls `id` is the token's or the client's.
  const subject = firstOf([isOAuth ? null : first(SUBJECTS), ...users]);
  const client = first(CLIENTS) ?? (isOAuth ? scalarOf(claims.at(-1)?.id) : null);
  // A client stands for itself only. Where a user is named in a form that is not known, it would stand for all its users.
  const isForItself = subject !== null || !claims.some((each) => namesUser(each, isOAuth));
  return { place, issuer: first(ISSUERS), subject, client: isForItself ? client : null };
}

/** Whether a field that is for the user has something in it. An OAuth server may set an empty `user` where there is none. */
function namesUser(claims: Claims, isOAuth: boolean): boolean {
  const { user } = claims;
  if (isObject(user) ? Object.keys(user).length > 0 : isSet(user)) return true;
  return !isOAuth && SUBJECTS.some((name) => isSet(claims[name]));
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false;
}

function firstOf(values: (Scalar | null)[]): Scalar | null {
  return values.find((value) => value !== null) ?? null;
}

/** A number is not the text of its digits, and an id of a database not the text that it is shown as. */
function scalarOf(value: unknown): Scalar | null {
  switch (typeof value) {
    case 'string':
      return value === '' ? null : value;
    case 'number':
      return Number.isFinite(value) ? ['number', String(value)] : null;
    case 'bigint':
      return ['bigint', String(value)];
    default: {
      // MongoDB's `ObjectId`. Its text is not asked for: a copy of another release may have that of all objects.
      if (!isObject(value) || typeof value.toHexString !== 'function') return null;
      const hex = (value as { toHexString(): unknown }).toHexString();
      return typeof hex === 'string' && hex !== '' ? ['hex', hex] : null;
    }
  }
}

function at(value: unknown, name: string): unknown {
  return isObject(value) ? value[name] : undefined;
}

function isObject(value: unknown): value is Claims {
  return typeof value === 'object' && value !== null;
}
