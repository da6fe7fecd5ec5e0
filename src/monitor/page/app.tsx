import { useEffect, useState } from 'preact/hooks';
import { ClusterPage } from './cluster.js';
import type { Feed } from './feed.js';
import { SessionPage } from './session/session.js';
import { SessionsPage } from './sessions.js';

/** The places of the page: `#/`, `#/sessions`, and `#/session/<the beginning of an id>`. A URL has no whole id. */
type Place =
  { view: 'cluster' } | { view: 'sessions'; node?: string } | { view: 'session'; prefix: string };

/** So many characters of an id tell sessions apart, and are no use to anybody who wants to be one. */
const PREFIX = 12;

export function placeOfSession(id: string): string {
  return `#/session/${encodeURIComponent(id.slice(0, Math.min(PREFIX, Math.ceil(id.length / 2))))}`;
}

function placeOf(hash: string): Place {
  const [, view, argument] = hash.split('/');
  if (view === 'session' && argument) {
    try {
      return { view, prefix: decodeURIComponent(argument) };
    } catch {
      return { view: 'sessions' };
    }
  }
  if (view === 'sessions') return { view, ...(argument && { node: decodeURIComponent(argument) }) };
  return { view: 'cluster' };
}

export function App({ feed }: { feed: Feed }) {
  const [place, setPlace] = useState(() => placeOf(location.hash));
  useEffect(() => {
    const move = (): void => {
      setPlace(placeOf(location.hash));
      document.getElementById('main')?.focus();
    };
    addEventListener('hashchange', move);
    // The address may have changed since the first drawing, before this listener was there.
    setPlace(placeOf(location.hash));
    return () => removeEventListener('hashchange', move);
  }, []);
  if (feed.offline !== undefined) return <OfflineApp feed={feed} place={place} />;
  const tab = (view: string, hash: string, name: string) => (
    <a href={hash} aria-current={place.view === view ? 'page' : undefined}>
      {name}
    </a>
  );
  return (
    <>
      <header class="top">
        <a class="brand" href="#/" aria-label="mcp-anynode, to the cluster">
          <Logo />
          <span>mcp-anynode</span>
        </a>
        <nav aria-label="Views">
          {tab('cluster', '#/', 'Cluster')}
          {tab('sessions', '#/sessions', 'Sessions')}
          {place.view === 'session' && (
            <a href={location.hash} aria-current="page">
              Session {place.prefix.slice(0, 8)}
            </a>
          )}
        </nav>
        <span class="where">
          <span class="chip" title="The prefix of the nodes">
            {feed.hello.prefix}
          </span>
          {feed.hello.payloads && <span class="chip warn">payloads shown</span>}
          {feed.hello.allowKill && <span class="chip warn">may end sessions</span>}
        </span>
      </header>
      <main id="main" tabIndex={-1}>
        {place.view === 'cluster' && <ClusterPage feed={feed} />}
        {place.view === 'sessions' && (
          <SessionsPage key={place.node} feed={feed} node={place.node} />
        )}
        {place.view === 'session' && (
          <SessionPage key={place.prefix} feed={feed} prefix={place.prefix} />
        )}
      </main>
    </>
  );
}

function OfflineApp({ feed, place }: { feed: Feed; place: Place }) {
  const sessions = feed.offline?.sessions ?? [];
  const chosen =
    sessions.find(({ id }) => place.view === 'session' && id.startsWith(place.prefix)) ??
    sessions[0];
  return (
    <>
      <header class="top">
        <span class="brand">
          <Logo />
          <span>mcp-anynode</span>
        </span>
        {sessions.length > 1 && (
          <label class="chooser">
            Session
            <select
              value={chosen?.id}
              onChange={(event) => (location.hash = placeOfSession(event.currentTarget.value))}
            >
              {sessions.map(({ id }) => (
                <option value={id}>{id}</option>
              ))}
            </select>
          </label>
        )}
        <span class="where">
          <span class="chip">a file, without a server</span>
        </span>
      </header>
      <main id="main" tabIndex={-1}>
        {chosen === undefined ? (
          <p class="empty">
            The file has no session. `mcp-anynode export SESSION` writes one that has.
          </p>
        ) : (
          <SessionPage key={chosen.id} feed={feed} prefix={chosen.id} />
        )}
      </main>
    </>
  );
}

function Logo() {
  return (
    <svg width="22" height="22" viewBox="0 0 22 22" aria-hidden="true">
      <path d="M3 5h16M3 11h16M3 17h16" stroke="currentColor" stroke-width="1.4" opacity=".35" />
      <circle cx="6" cy="5" r="2.6" fill="var(--ok)" />
      <circle cx="15" cy="11" r="2.6" fill="var(--accent)" />
      <circle cx="9" cy="17" r="2.6" fill="var(--tool-error)" />
      <path
        d="M6 5C6 9 15 7 15 11S9 13 9 17"
        fill="none"
        stroke="currentColor"
        stroke-width="1.2"
      />
    </svg>
  );
}
