/** Finds the caller in what common authorization middlewares leave on a request. */
import type { Request } from 'express';

/** The place on a request that names the caller. */
type Place = 'auth' | 'user' | 'oidc' | 'oauth' | 'kauth';

type Scalar = string | [kind: string, text: string];

export interface Identity {
  place: Place;
  issuer: Scalar | null;
  subject: Scalar | null;
  client: Scalar | null;
}

/** An identity that is on the request, in a form that this library does not know. */
export interface Unreadable {
  place: Place;
  /** The names of its fields, for the log. Their values are left out, because they may be secrets. */
  fields: string[];
}

type Claims = Record<string, unknown>;

/** The properties that authorization middlewares set on a request. */
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
  /** The objects that may have claims, the most specific first. */
  claimsOf: (found: Claims, req: Marked) => unknown[];
}

/**
 * The places where authorization middlewares leave the caller, in the order in which they are read:
 *
 * - `req.auth`: the SDK's `AuthInfo` (claims of the user in `extra`, or in `payload` or `claims` there), the payload of
 *   express-jwt, `{ payload }` of express-oauth2-jwt-bearer, `{ subject, issuer, claims }` of mcp-auth, `{ user }` of
 *   express-basic-auth;
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

/**
 * Lists the objects with claims in `req.auth`. A token verifier may put the payload of a token into `extra` itself, or under
 * a name of its own.
 */
function authClaims(auth: Claims): unknown[] {
  const { extra, payload, claims } = auth;
  return [extra, at(extra, 'payload'), at(extra, 'claims'), payload, claims, auth];
}

/** The fields that may hold the id of the user, the preferred ones first. */
const IDS = [
  ...['sub', 'subject', 'userId', 'user_id', 'userID', 'uid', 'oid', 'nameID', 'id', '_id'],
];
/**
 * The fields that may hold a name of the user. A user may be able to change such a name. So these fields count only if no
 * field holds an id.
 */
const NAMES = [
  ...['username', 'userName', 'user_name', 'cognito:username', 'preferred_username'],
  ...['unique_name', 'upn', 'login', 'email'],
];
const SUBJECTS = [...IDS, ...NAMES];
/**
 * The fields that may name the issuer. In Passport, `provider` names the service that a profile comes from. Two services may
 * give the same id to different users.
 */
const ISSUERS = ['iss', 'issuer', 'provider'];
const CLIENTS = ['clientId', 'client_id', 'azp', 'cid', 'appid'];

/**
 * Returns who is calling:
 *
 * - The first place that names a user (a subject) counts.
 * - If no place names a user, the first place that names a client counts: a client that acts for itself. But if an identity
 *   at another place cannot be read, the result is {@link Unreadable}.
 * - `undefined` means that no place has an identity. The caller is anonymous.
 */
export function identityOf(req: Request): Identity | Unreadable | undefined {
  let client: Identity | undefined;
  let unreadable: Unreadable | undefined;
  const marked = req as unknown as Marked;
  for (const { place, find, claimsOf } of PLACES) {
    const found = find(marked);
    if (found === undefined || found === null || found === false) continue;
    // Some middlewares set `req.user` to a name. At `req.auth` a text may be a token, so it is not read.
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
  const firstIn = (objects: Claims[], names: string[]): Scalar | null =>
    firstOf(objects.flatMap((each) => names.map((name) => scalarOf(each[name]))));
  const first = (names: string[]): Scalar | null => firstIn(claims, names);
  // The field `user` is an object or a name. It occurs in the token of an OAuth server, in `extra`, and with
  // express-basic-auth.
  const users = claims.map(({ user }) => (isObject(user) ? user : { username: user }));
  const isOAuth = place === 'oauth';
  // The `id` in the token of an OAuth server is that of the token or of the client, so it does not name the user.
  const subject = firstOf(
    [IDS, NAMES].flatMap((names) => [isOAuth ? null : first(names), firstIn(users, names)]),
  );
  const client = first(CLIENTS) ?? (isOAuth ? scalarOf(claims.at(-1)?.id) : null);
  // The client is the identity only if no field names a user. If a field names a user in an unknown form, the client would
  // stand for all its users.
  const isForItself = subject !== null || !claims.some((each) => namesUser(each, isOAuth));
  return { place, issuer: first(ISSUERS), subject, client: isForItself ? client : null };
}

/**
 * True if a field may name the user. An OAuth server may set an empty `user` if there is none, and its token may have an `id`
 * of its own.
 */
function namesUser(claims: Claims, isOAuth: boolean): boolean {
  const { user } = claims;
  if (isObject(user) ? Object.keys(user).length > 0 : isSet(user)) return true;
  // These may be getters, which `Object.entries` does not list.
  if (!isOAuth && SUBJECTS.some((name) => isSet(claims[name]))) return true;
  return Object.entries(claims).some(([name, value]) => {
    if (name === 'user' || SUBJECTS.includes(name) || !isSet(value)) return false;
    if (OF_USER.test(name)) return true;
    // Middlewares put the claims of the token under many names.
    const isNested = isObject(value) && !OF_CLIENT.test(name);
    return isNested && Object.keys(value).some((each) => OF_USER.test(each));
  });
}

/**
 * The names of fields that name a user in some system, also with a URL in front (`https://shop.example/email`). Ids
 * that may be those of the token or of the client are not among them.
 */
const OF_USER =
  /(?:^|[:/])(?:sub|subject|upn|mail|name|login|principal|person)$|user|account|e-?mail|profile|member|customer|employee|name_?id|unique_?name|(?:nick|display|given|family|full)_?name/i;
/** Objects that describe the client and its organization. */
const OF_CLIENT = /client|app|org|tenant|resource/i;

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null && value !== false;
}

function firstOf(values: (Scalar | null)[]): Scalar | null {
  return values.find((value) => value !== null) ?? null;
}

/**
 * Returns a value as a scalar that keeps its kind: a number differs from the text of its digits, and a database id from its
 * text.
 */
function scalarOf(value: unknown): Scalar | null {
  switch (typeof value) {
    case 'string':
      return value === '' ? null : value;
    case 'number':
      return Number.isFinite(value) ? ['number', String(value)] : null;
    case 'bigint':
      return ['bigint', String(value)];
    default: {
      // An `ObjectId` of MongoDB. `toString` is not used, because in a copy of another release all objects may have the same
      // text.
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
