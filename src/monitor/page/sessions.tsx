import { useEffect, useRef, useState } from 'preact/hooks';
import { lasted } from '../../timeline/explain.js';
import type { SessionList } from '../wire.js';
import { placeOfSession } from './app.js';
import type { Feed, Query } from './feed.js';
import { count } from './format.js';
import { nextTrouble, TroubleBanner, type Trouble } from './trouble.js';

/** `isFalling`: the order begins with the latest or the most. */
const COLUMNS: { name: string; sort?: string; isFalling?: true }[] = [
  { name: 'session', sort: 'id' },
  { name: 'client', sort: 'client' },
  { name: 'principal', sort: 'principal' },
  { name: 'protocol', sort: 'protocol' },
  { name: 'created', sort: 'created', isFalling: true },
  { name: 'used', sort: 'used', isFalling: true },
  { name: 'running' },
  { name: 'streams' },
  { name: 'errors', sort: 'errors', isFalling: true },
  { name: 'nodes' },
];

const IDLE = [
  { name: 'any', ms: 0 },
  { name: '1 min', ms: 60_000 },
  { name: '10 min', ms: 600_000 },
  { name: '1 h', ms: 3_600_000 },
  { name: '1 day', ms: 86_400_000 },
];

/** With more sessions, the list is not renewed so often. */
const MANY = 2000;

export function SessionsPage({ feed, node }: { feed: Feed; node: string | undefined }) {
  const [query, setQuery] = useState<Query>(node === undefined ? {} : { node });
  const [pages, setPages] = useState<(string | undefined)[]>([undefined]);
  const [list, setList] = useState<SessionList>();
  const [trouble, setTrouble] = useState<Trouble>();
  const [busy, setBusy] = useState(true);
  const [turn, setTurn] = useState(0);
  const asked = useRef(0);
  const after = pages.at(-1);
  useEffect(() => {
    const number = (asked.current += 1);
    setBusy(true);
    const timer = setTimeout(
      () => {
        const whole = { ...query, ...(after !== undefined && { after }) };
        feed.sessions(whole).then(
          (found) => {
            if (number !== asked.current) return;
            setList(found);
            setTrouble(undefined);
            setBusy(false);
          },
          (error: unknown) => {
            if (number !== asked.current) return;
            const text = error instanceof Error ? error.message : String(error);
            setTrouble((before) => nextTrouble(before, text));
            setBusy(false);
          },
        );
      },
      list === undefined ? 0 : 250,
    );
    return () => clearTimeout(timer);
  }, [feed, query, after, turn]);
  useEffect(() => {
    // A new question makes the page drop the answer to the one before. So it waits for each answer, however long that takes.
    if (busy) return undefined;
    // To sort many sessions, the server has to read them all.
    const ms = trouble === undefined && (list?.listed ?? 0) > MANY ? 60_000 : 5000;
    const timer = setTimeout(() => setTurn(turn + 1), ms);
    return () => clearTimeout(timer);
  }, [turn, list, trouble, busy]);
  const change = (more: Query): void => {
    const entries = Object.entries({ ...query, ...more });
    setQuery(Object.fromEntries(entries.filter(([, value]) => Boolean(value))));
    setPages([undefined]);
  };
  const text = (name: keyof Query, label: string, hint: string) => (
    <label>
      {label}
      <input
        type="search"
        maxLength={200}
        spellcheck={false}
        placeholder={hint}
        value={String(query[name] ?? '')}
        onInput={(event) => change({ [name]: event.currentTarget.value })}
      />
    </label>
  );
  const sorted = query.sort ?? 'id';
  const sortBy = (sort: string): void =>
    change(sorted === sort ? { reverse: !(query.reverse ?? false) } : { sort, reverse: false });
  return (
    <div class="sessions">
      <h1 class="hidden">Sessions</h1>
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        {text('idPrefix', 'Id', 'begins with')}
        {text('client', 'Client', 'name or version')}
        {text('principal', 'Principal', 'part of it')}
        {text('node', 'Node', 'begins with')}
        {text('protocol', 'Protocol', '2025-…')}
        <label>
          Idle for
          <select
            value={query.idleMs ?? 0}
            onChange={(event) => change({ idleMs: Number(event.currentTarget.value) })}
          >
            {IDLE.map(({ name, ms }) => (
              <option value={ms}>{name}</option>
            ))}
          </select>
        </label>
        <label class="check">
          <input
            type="checkbox"
            checked={query.hasErrors === true}
            onChange={(event) => change({ hasErrors: event.currentTarget.checked })}
          />
          has errors
        </label>
      </form>
      {trouble !== undefined && <TroubleBanner trouble={trouble} />}
      <p class="summary" role="status">
        {list === undefined
          ? 'Looking…'
          : `${list.matched === undefined ? `${count(list.sessions.length)} shown` : `${count(list.matched)} match`}, of ${count(list.listed)} sessions`}
        {busy && list !== undefined && ' · looking…'}
      </p>
      <div
        class={`scroll list ${trouble === undefined ? '' : 'stale'}`}
        tabIndex={0}
        role="region"
        aria-label="Sessions"
      >
        <table aria-busy={busy}>
          <thead>
            <tr>
              {COLUMNS.map(({ name, sort, isFalling = false }) => (
                <th
                  scope="col"
                  class={sort === undefined ? 'unsorted' : ''}
                  aria-sort={
                    sort !== sorted
                      ? undefined
                      : isFalling === (query.reverse ?? false)
                        ? 'ascending'
                        : 'descending'
                  }
                >
                  {sort === undefined ? (
                    name
                  ) : (
                    <button type="button" class="sort" onClick={() => sortBy(sort)}>
                      {name}
                      <span aria-hidden="true">
                        {sort !== sorted
                          ? ' ↕'
                          : isFalling === (query.reverse ?? false)
                            ? ' ▲'
                            : ' ▼'}
                      </span>
                    </button>
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {list?.sessions.map(({ info, streams, followed, requests, replicas }) => (
              <tr key={info.id}>
                <td data-name="session">
                  <a class="id" href={placeOfSession(info.id)} title={info.id}>
                    <span>{info.id}</span>
                  </a>
                </td>
                <td data-name="client" class="text">
                  <span>
                    {info.clientInfo.name} <small>{info.clientInfo.version}</small>
                  </span>
                </td>
                <td data-name="principal" class="text">
                  {info.principal ?? <small>anonymous</small>}
                </td>
                <td data-name="protocol">{info.protocolVersion}</td>
                <td data-name="created" class="num">
                  {ago(info.createdAt)}
                </td>
                <td data-name="used" class="num">
                  {ago(info.lastSeenAt)}
                </td>
                <td data-name="running" class="num">
                  {requests || ''}
                </td>
                <td data-name="streams" class="num">
                  {followed}/{streams}
                </td>
                <td data-name="errors" class={`num ${info.errors ? 'bad' : ''}`}>
                  {info.errors || ''}
                </td>
                <td data-name="nodes" class="text">
                  {replicas.join(' ')}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {list !== undefined && list.sessions.length === 0 && (
        <Nothing
          isFiltered={Object.keys(query).some((name) => name !== 'sort' && name !== 'reverse')}
          onClear={() => {
            setQuery({});
            setPages([undefined]);
          }}
        />
      )}
      <nav class="pages" aria-label="Pages">
        <button
          type="button"
          disabled={pages.length === 1}
          onClick={() => setPages(pages.slice(0, -1))}
        >
          Previous
        </button>
        <span>Page {pages.length}</span>
        <button
          type="button"
          disabled={list?.next === undefined}
          onClick={() => setPages([...pages, list?.next])}
        >
          Next
        </button>
      </nav>
    </div>
  );
}

function Nothing({ isFiltered, onClear }: { isFiltered: boolean; onClear: () => void }) {
  return isFiltered ? (
    <p class="empty">
      No session fits all of this. Take a part of it away, or{' '}
      <button type="button" onClick={onClear}>
        show all sessions
      </button>
    </p>
  ) : (
    <p class="empty">
      There is no session. Connect a client to a node, and its session is listed here. If clients
      are connected, the nodes may have another prefix, or another Redis.
    </p>
  );
}

function ago(at: number): string {
  return `${lasted(Date.now() - at)} ago`;
}
