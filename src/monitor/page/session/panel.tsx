import type { EventSummary } from '../../../timeline/event-summary.js';
import { lasted } from '../../../timeline/explain.js';
import { sayMark } from '../../../timeline/mermaid.js';
import { useEffect } from 'preact/hooks';
import { sayEvent } from '../../../timeline/say-event.js';
import type { Bar, Mark, Timeline } from '../../../timeline/picture.js';
import { outcomeName } from '../picture/bars.js';
import { Facts } from '../facts.js';
import type { Feed } from '../feed.js';
import { clock } from '../format.js';
import { Moment, type MomentView } from '../picture/moment.js';
import { useMedia } from '../use-media.js';
import type { SessionData } from './use-session.js';

interface Props {
  feed: Feed;
  data: SessionData;
  line: Timeline;
  selected: string | undefined;
  moment: MomentView | undefined;
  onSelect: (key: string | undefined) => void;
}

export function Panel({ feed, data, line, selected, moment, onSelect }: Props) {
  const isBelow = useMedia('(max-width: 900px)');
  useEffect(() => {
    if (!isBelow || selected === undefined) return undefined;
    // The picture is drawn anew first, if the window has got another size.
    const timer = setTimeout(uncover, 60);
    return () => clearTimeout(timer);
  }, [isBelow, selected]);
  const event = data.events.find(({ id }) => id === selected);
  const bar = line.bars.find(({ key, endKey }) => key === selected || endKey === selected);
  const marks = line.marks.filter(({ key, kind }) => key === selected && kind !== 'message');
  return (
    <aside class="panel" aria-label="Details">
      <section
        aria-live="polite"
        aria-labelledby="selected-title"
        class={event === undefined ? '' : 'sheet'}
        onKeyDown={({ key }) => key === 'Escape' && onSelect(undefined)}
      >
        <h2 id="selected-title">{event === undefined ? 'Selected' : sayEvent(event)}</h2>
        {event !== undefined && (
          <button type="button" class="close" onClick={() => onSelect(undefined)}>
            Close
          </button>
        )}
        {event === undefined ? (
          <p class="hint">
            Select a bar, a mark or a row to see what it was, where it ran, and why it failed.
          </p>
        ) : (
          <>
            {bar !== undefined && <BarFacts {...{ feed, bar, line, onSelect }} />}
            {marks.map((mark) => (
              <p class="why" key={mark.kind}>
                {sentence(mark)}
              </p>
            ))}
            <EventFacts event={event} data={data} line={line} />
            <Message feed={feed} event={event} answer={answerOf(bar, selected, data.events)} />
          </>
        )}
      </section>
      {moment !== undefined && <Moment moment={moment} />}
      <Failures line={line} onSelect={onSelect} />
    </aside>
  );
}

/** What is selected stays in view above the sheet, which covers the lower part of a narrow window. */
function uncover(): void {
  const isInList = document.activeElement?.closest('.events') != null;
  const chosen = isInList
    ? '.event[aria-selected="true"]'
    : '.lanes .selected:not(.line, .handler)';
  const { bottom = 0 } = document.querySelector(chosen)?.getBoundingClientRect() ?? {};
  const covered = bottom - innerHeight * 0.42;
  if (covered > 0) scrollBy({ top: covered });
}

function sentence(mark: Mark): string {
  const text = sayMark(mark);
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${mark.node === undefined ? '' : `, on node ${mark.node}`}.`;
}

function answerOf(bar: Bar | undefined, selected: string | undefined, events: EventSummary[]) {
  if (bar?.endKey === undefined || bar.endKey === selected) return undefined;
  return events.find(({ id }) => id === bar.endKey);
}

function BarFacts({
  feed,
  bar,
  line,
  onSelect,
}: {
  feed: Feed;
  bar: Bar;
  line: Timeline;
  onSelect: (key: string) => void;
}) {
  const questions = line.bars.filter(({ parent }) => parent === bar.key);
  const isCall = bar.kind === 'call';
  return (
    <>
      <p class={`outcome ${bar.outcome}`}>
        <span
          class={`swatch ${bar.outcome} ${bar.stranded === true ? 'stranded' : ''}`}
          aria-hidden="true"
        />
        {outcomeName(bar)}
        {bar.end !== undefined && ` after ${lasted(bar.end - bar.start)}`}
      </p>
      {bar.why !== undefined && <p class="why">{bar.why}</p>}
      <Facts
        rows={[
          [isCall ? 'received by' : 'asked by', bar.receivedBy],
          ['ran on', isCall ? bar.ranBy : undefined],
          ['ran before on', bar.ranBefore],
          [
            isCall ? 'answer shown by' : 'shown by',
            bar.shownBy === null ? 'nobody was there; it waited in the log' : bar.shownBy,
          ],
          ['client answered to', bar.answeredBy],
          ['ended by', bar.endedBy],
          ['cancelled through', bar.cancelledBy],
          ['notifications', bar.messages > 0 ? bar.messages : undefined],
          ['trace', bar.traceId && <Trace id={bar.traceId} url={feed.hello.traceUrl} />],
          [
            'asked during',
            bar.parent && (
              <button type="button" class="link" onClick={() => onSelect(bar.parent ?? '')}>
                the call
              </button>
            ),
          ],
        ]}
      />
      {questions.length > 0 && (
        <ul class="questions">
          {questions.map((question) => (
            <li key={question.key}>
              <button type="button" class="link" onClick={() => onSelect(question.key)}>
                {question.method}
              </button>
              {question.end === undefined
                ? ': not answered'
                : `: answered after ${lasted(question.end - question.start)}`}
            </li>
          ))}
        </ul>
      )}
    </>
  );
}

/** The trace of a request. `url`: where it is shown, with `{traceId}` for its id. */
function Trace({ id, url }: { id: string; url: string | undefined }) {
  if (url === undefined) return <code>{id}</code>;
  return (
    <a href={url.replaceAll('{traceId}', id)} target="_blank" rel="noopener noreferrer">
      <code>{id}</code>
    </a>
  );
}

function EventFacts({
  event,
  data,
  line,
}: {
  event: EventSummary;
  data: SessionData;
  line: Timeline;
}) {
  const back = event.shownBy === null ? cameBack(event, data.events) : undefined;
  return (
    <Facts
      rows={[
        ['time', `${clock(event.at)} (+${lasted(event.at - line.from)})`],
        ['event', <code>{event.id}</code>],
        ['node', event.nodeId],
        [
          'shown to the client',
          event.direction !== 'out'
            ? undefined
            : event.shownBy === undefined
              ? 'not in the log'
              : event.shownBy !== null
                ? `at once, by ${event.shownBy}`
                : back === undefined
                  ? 'not yet: the client has no connection'
                  : `after ${lasted(back.at - event.at)}, when the client was back, by ${back.nodeId ?? 'a node'}`,
        ],
        ['stream', event.stream && <code>{event.stream}</code>],
        [
          'request',
          event.requestId !== undefined && <code>{JSON.stringify(event.requestId)}</code>,
        ],
      ]}
    />
  );
}

/** Finds the event that proves that the client had a connection again. */
function cameBack({ id, stream }: EventSummary, events: EventSummary[]): EventSummary | undefined {
  const from = events.findIndex((event) => event.id === id);
  return events
    .slice(from + 1)
    .find(
      (event) =>
        event.stream === stream &&
        (event.type === 'stream.resumed' || typeof event.shownBy === 'string'),
    );
}

function Message({
  feed,
  event,
  answer,
}: {
  feed: Feed;
  event: EventSummary;
  answer: EventSummary | undefined;
}) {
  if (event.message === undefined && answer?.message === undefined) {
    if (event.direction === undefined) return null;
    return (
      <p class="hint">
        {feed.hello.payloads
          ? 'The message is not shown: it was hidden, or cannot be read.'
          : 'Payloads are hidden. Start the page with payloads shown to see the message.'}
      </p>
    );
  }
  return (
    <>
      {event.message !== undefined && <Json title="Message" value={event.message} />}
      {answer?.message !== undefined && <Json title="Answer" value={answer.message} />}
    </>
  );
}

/** A longer message is cut, so that the page stays quick. */
const MOST_CHARACTERS = 20_000;

function Json({ title, value }: { title: string; value: unknown }) {
  const text = JSON.stringify(value, undefined, 2);
  return (
    <figure class="json">
      <figcaption>{title}</figcaption>
      <pre tabIndex={0}>
        {text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text}
      </pre>
    </figure>
  );
}

const MOST_FAILURES = 50;

function Failures({ line, onSelect }: { line: Timeline; onSelect: (key: string) => void }) {
  const failed = line.bars.filter(
    ({ outcome, stranded }) =>
      ['error', 'tool_error', 'lost'].includes(outcome) || stranded === true,
  );
  if (failed.length === 0) return null;
  return (
    <section aria-labelledby="failures-title">
      <h2 id="failures-title">Failed requests</h2>
      <ul class="failures">
        {failed
          .slice(-MOST_FAILURES)
          .reverse()
          .map((bar) => (
            <li key={bar.key} class={bar.stranded === true ? 'lost' : bar.outcome}>
              <button type="button" class="link" onClick={() => onSelect(bar.key)}>
                {bar.label} <small>#{String(bar.requestId)}</small>
              </button>
              <p>{bar.why}</p>
            </li>
          ))}
      </ul>
    </section>
  );
}
