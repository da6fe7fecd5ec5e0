import { useEffect, useState } from 'preact/hooks';
import { lasted } from '../../timeline/explain.js';
import { sayEvent } from '../../timeline/say-event.js';
import type { ClusterView, PageNode } from '../wire.js';
import { placeOfSession } from './app.js';
import type { Feed } from './feed.js';
import { bytes, clock, count, rate, ZONE } from './format.js';
import { nextTrouble, TroubleBanner, type Trouble } from './trouble.js';

export function ClusterPage({ feed }: { feed: Feed }) {
  const [view, setView] = useState<ClusterView>();
  const [trouble, setTrouble] = useState<Trouble>();
  useEffect(() => {
    const complain = (text: string | undefined): void =>
      setTrouble((before) => nextTrouble(before, text));
    return feed.cluster(
      (next) => {
        setView(next);
        complain(next.trouble);
      },
      // The first look tells whether Redis can be read.
      (condition) => condition !== 'open' && complain(condition.trouble),
    );
  }, [feed]);
  if (view === undefined || view.at === 0)
    return trouble === undefined ? (
      <p class="empty" role="status">
        Looking at the cluster…
      </p>
    ) : (
      <p class="banner bad" role="alert">
        {trouble.text}, since {clock(trouble.since, false)}. The page tries again by itself.
      </p>
    );
  const alive = view.nodes.filter(({ state }) => state === 'alive' || state === 'late');
  const [server] = view.redis;
  return (
    <div class={`cluster ${trouble === undefined ? '' : 'stale'}`}>
      <h1 class="hidden">Cluster</h1>
      {trouble !== undefined && <TroubleBanner trouble={trouble} />}
      {view.redis.map(
        ({ name, warning }) =>
          warning !== undefined && (
            <p class="banner warn" role="status">
              Redis {name}: {warning}
            </p>
          ),
      )}
      <section class="tiles" aria-label="Figures">
        <Tile
          name="Nodes"
          value={count(alive.length)}
          more={view.nodesComplete ? undefined : 'still looking'}
        />
        <Tile
          name="Sessions"
          value={count(view.listed)}
          more={view.sampled ? `${view.looked} looked at` : undefined}
        />
        <Tile name="Running calls" value={count(view.totals.requests)} />
        <Tile
          name="Connected streams"
          value={count(view.totals.followed)}
          more={`of ${count(view.totals.streams)} open`}
        />
        <Tile
          name="Events"
          value={
            view.perSecond === undefined
              ? '–'
              : `${view.perSecond.partial ? '≥ ' : ''}${rate(view.perSecond.events)}/s`
          }
          more={view.perSecond && `${bytes(view.perSecond.bytes)}/s`}
        />
        <Tile
          name="Redis"
          value={server === undefined ? '–' : `${server.roundTripMs.toFixed(1)} ms`}
          more={server === undefined ? undefined : memoryOf(server)}
        />
      </section>
      <section aria-labelledby="nodes">
        <h2 id="nodes">Nodes</h2>
        {view.nodes.length === 0 ? (
          <p class="empty">
            {view.nodesComplete
              ? `No node holds a lease under the prefix “${feed.hello.prefix}”. Start a node with this prefix, or open the page with the prefix and the Redis of your nodes.`
              : 'Looking for nodes…'}
          </p>
        ) : (
          <ul class="nodes">
            {view.nodes.map((node) => (
              <NodeCard key={node.id} node={node} at={view.at} />
            ))}
          </ul>
        )}
      </section>
      <Latest view={view} />
    </div>
  );
}

function memoryOf({
  usedBytes,
  maxBytes,
  version,
}: ClusterView['redis'][number]): string | undefined {
  const used =
    usedBytes === undefined
      ? []
      : [`${bytes(usedBytes)}${maxBytes ? ` of ${bytes(maxBytes)}` : ''}`];
  return [...used, ...(version === undefined ? [] : [version])].join(' · ') || undefined;
}

function Tile({ name, value, more }: { name: string; value: string; more?: string | undefined }) {
  return (
    <dl class="tile">
      <dt>{name}</dt>
      <dd>
        <b>{value}</b>
        {more !== undefined && <small>{more}</small>}
      </dd>
    </dl>
  );
}

const STATES: Record<PageNode['state'], string> = {
  alive: 'alive',
  late: 'late to renew its lease',
  died: 'died',
  closed: 'closed',
};

function NodeCard({ node, at }: { node: PageNode; at: number }) {
  const { id, state, leaseLeftMs, leaseMs, host, pid, version, startedAt, goneAt } = node;
  const isGone = state === 'died' || state === 'closed';
  const share = Math.max(0, Math.min(1, leaseLeftMs / Math.max(1, leaseMs)));
  return (
    <li class={`card ${state}`} data-node={id} data-state={state}>
      <header>
        <span class="dot" aria-hidden="true" />
        <h3>
          <a href={`#/sessions/${id}`} title="Sessions of this node">
            {id}
          </a>
        </h3>
        <span class="state">
          {STATES[state]}
          {goneAt !== undefined && ` ${lasted(at - goneAt)} ago`}
        </span>
      </header>
      <p class="host">
        {host ?? 'unknown host'}
        {pid !== undefined && ` · pid ${pid}`}
        {version !== undefined && ` · ${version}`}
        {startedAt !== undefined && !isGone && ` · up ${lasted(at - startedAt)}`}
      </p>
      <div
        class="lease"
        role="img"
        aria-label={isGone ? 'no lease' : `lease: ${lasted(leaseLeftMs)} left`}
      >
        <span style={{ width: `${share * 100}%` }} />
      </div>
      <dl class="figures">
        <div>
          <dt>sessions</dt>
          <dd>{count(node.sessions)}</dd>
        </div>
        <div>
          <dt>streams</dt>
          <dd>{count(node.streams)}</dd>
        </div>
        <div>
          <dt>running</dt>
          <dd>{count(node.requests)}</dd>
        </div>
        <div>
          <dt>events/s</dt>
          <dd>{rate(node.rate.at(-1) ?? 0)}</dd>
        </div>
      </dl>
      <Sparkline rates={node.rate} errors={node.errors} />
    </li>
  );
}

function Sparkline({ rates, errors }: { rates: number[]; errors: number[] }) {
  const [width, height, points] = [240, 34, 60];
  const most = Math.max(1, ...rates);
  const x = (index: number, all: number[]): number =>
    ((index + points - all.length) / (points - 1)) * width;
  const y = (value: number): number => height - 2 - (value / most) * (height - 6);
  const line = rates
    .map(
      (value, index) =>
        `${index === 0 ? 'M' : 'L'}${x(index, rates).toFixed(1)} ${y(value).toFixed(1)}`,
    )
    .join('');
  const area =
    rates.length === 0 ? '' : `${line}L${width} ${height}L${x(0, rates).toFixed(1)} ${height}Z`;
  const failed = errors.reduce((sum, value) => sum + value, 0);
  return (
    <svg
      class="spark"
      viewBox={`0 0 ${width} ${height}`}
      preserveAspectRatio="none"
      role="img"
      aria-label={`events per second in the last minute, at most ${rate(most)}; ${failed > 0 ? 'with errors' : 'no errors'}`}
    >
      <path class="area" d={area} />
      <path class="line" d={line} />
      {errors.map(
        (value, index) =>
          value > 0 && (
            <rect
              class="errors"
              x={x(index, errors) - 1.5}
              width="3"
              y={height - Math.max(4, (value / most) * height)}
              height={Math.max(4, (value / most) * height)}
            />
          ),
      )}
    </svg>
  );
}

function Latest({ view }: { view: ClusterView }) {
  const [rows, setRows] = useState<ClusterView['latest']>([]);
  useEffect(() => {
    if (view.latest.length > 0) setRows((before) => [...before, ...view.latest].slice(-40));
  }, [view]);
  return (
    <section aria-labelledby="latest">
      <h2 id="latest">Latest events</h2>
      {rows.length === 0 ? (
        <p class="empty">
          Nothing has happened since you opened this page. What clients and nodes do appears here as
          it happens.
        </p>
      ) : (
        <div class="scroll">
          <table class="latest">
            <thead>
              <tr>
                <th scope="col">time ({ZONE})</th>
                <th scope="col">session</th>
                <th scope="col">node</th>
                <th scope="col">what</th>
              </tr>
            </thead>
            <tbody>
              {[...rows].reverse().map(({ session, event }) => (
                <tr key={`${session} ${event.id}`}>
                  <td class="num">{clock(event.at)}</td>
                  <td>
                    <a href={placeOfSession(session)} title={session}>
                      <span>{session}</span>
                    </a>
                  </td>
                  <td>{event.nodeId ?? ''}</td>
                  <td
                    class={
                      event.kind === 'error' || event.toolError || event.type === 'request.failed'
                        ? 'bad'
                        : ''
                    }
                  >
                    {sayEvent(event)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
