import { useEffect, useState } from 'preact/hooks';
import { lasted } from '../../../timeline/explain.js';
import type { ExportFormat } from '../../wire.js';
import type { Feed } from '../feed.js';
import { bytes, count } from '../format.js';
import type { SessionData } from './use-session.js';

/** The facts of a session, and what can be done with it. */
export function SessionHead({
  feed,
  data,
  calls,
  failed,
}: {
  feed: Feed;
  data: SessionData;
  calls: number;
  failed: number;
}) {
  const { facts, id = '', events } = data;
  const info = facts?.info ?? feed.offline?.sessions.find((session) => session.id === id)?.info;
  const [first, last] = [events[0]?.at ?? 0, events.at(-1)?.at ?? 0];
  return (
    <header class="session-head">
      <h1>
        <span class="client">{info?.clientInfo.name ?? 'Session'}</span>{' '}
        <small>{info?.clientInfo.version}</small>
        <code title="The id of the session">{id}</code>
      </h1>
      <ul class={`facts ${data.trouble === undefined ? '' : 'stale'}`} aria-label="Facts">
        <li>
          <b>{data.ended ? 'ended' : (info?.state ?? 'open')}</b>
        </li>
        {info !== undefined && (
          <li>
            protocol <b>{info.protocolVersion}</b>
          </li>
        )}
        {info !== undefined && (
          <li>
            principal <b>{info.principal ?? 'anonymous'}</b>
          </li>
        )}
        {info?.owner !== undefined && (
          <li>
            owner <b>{info.owner}</b>
          </li>
        )}
        {info?.logLevel !== undefined && (
          <li>
            log level <b>{info.logLevel}</b>
          </li>
        )}
        <li>
          <b>{count(calls)}</b> requests
        </li>
        <li class={failed > 0 ? 'bad' : ''}>
          <b>{count(failed)}</b> failed
        </li>
        <li>
          over <b>{lasted(last - first)}</b>
        </li>
        {facts !== undefined && (
          <li>
            log <b>{count(facts.log.events)}</b> events, {bytes(facts.log.bytes)}
          </li>
        )}
        {facts !== undefined && !data.ended && (
          <li>
            expires in <b>{lasted(facts.leftMs)}</b>
          </li>
        )}
      </ul>
      <Actions feed={feed} id={id} ended={data.ended} />
    </header>
  );
}

const FORMATS: { format: ExportFormat; name: string; ending: string }[] = [
  { format: 'jsonl', name: 'JSON Lines', ending: 'jsonl' },
  { format: 'mermaid', name: 'Mermaid', ending: 'mmd' },
  { format: 'html', name: 'HTML file', ending: 'html' },
];

function Actions({ feed, id, ended }: { feed: Feed; id: string; ended: boolean }) {
  const [said, setSaid] = useState('');
  const [asking, setAsking] = useState(false);
  useEffect(() => setAsking(false), [ended]);
  const save = async (format: ExportFormat, ending: string): Promise<void> => {
    try {
      const url = URL.createObjectURL(await feed.export(id, format));
      const link = document.createElement('a');
      link.href = url;
      link.download = `session-${id.slice(0, 8).replace(/[^\w-]/g, '_')}.${ending}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
      setSaid('');
    } catch (error) {
      setSaid(error instanceof Error ? error.message : String(error));
    }
  };
  const end = async (): Promise<void> => {
    setAsking(false);
    try {
      await feed.kill(id);
      setSaid('The session was ended.');
    } catch (error) {
      setSaid(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <div class="actions">
      <span class="group" role="group" aria-label="Export">
        {FORMATS.map(({ format, name, ending }) => (
          <button
            type="button"
            key={format}
            onClick={() => void save(format, ending)}
            title={`Save as ${name}`}
          >
            {name}
          </button>
        ))}
      </span>
      {feed.hello.allowKill &&
        !ended &&
        (asking ? (
          <span class="group">
            <button type="button" class="danger" onClick={() => void end()}>
              End it for good
            </button>
            <button type="button" onClick={() => setAsking(false)}>
              Keep it
            </button>
          </span>
        ) : (
          <button type="button" class="danger" onClick={() => setAsking(true)}>
            End session…
          </button>
        ))}
      <span role="status" class="said">
        {said}
      </span>
    </div>
  );
}
