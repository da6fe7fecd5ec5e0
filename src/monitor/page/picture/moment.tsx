import { useEffect, useState } from 'preact/hooks';
import type { EventSummary } from '../../../timeline/event-summary.js';
import type { Bar, Stretch, Timeline } from '../../../timeline/picture.js';
import type { StateView } from '../../wire.js';
import { Facts } from '../facts.js';
import type { Feed } from '../feed.js';
import { clock } from '../format.js';
import type { SessionData } from '../session/use-session.js';

/** The session at a moment: what the log says of it, and what the server has worked out from the log. */
export interface MomentView {
  at: number;
  /** Whether the moment is now, and not one that the slider has chosen. */
  isNow: boolean;
  hasEnded: boolean;
  state: StateView | undefined;
  calls: Bar[];
  questions: Bar[];
  connections: Stretch[];
}

/** Looks up the session as it was at the event `cursor`, or as it is now. */
export function useMoment(
  feed: Feed,
  data: SessionData,
  line: Timeline,
  cursor: number | undefined,
): MomentView | undefined {
  const { id, events } = data;
  const event = cursor === undefined ? events.at(-1) : events[cursor];
  const [state, setState] = useState<StateView>();
  const key = event?.id;
  const isLog = event?.type !== 'session.closed';
  useEffect(() => {
    if (id === undefined || key === undefined || !isLog) {
      setState(undefined);
      return;
    }
    let stopped = false;
    // A scrubber that is dragged passes many events.
    const timer = setTimeout(() => {
      feed.state(id, key).then(
        (found) => !stopped && setState(found),
        () => !stopped && setState(undefined),
      );
    }, 200);
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [feed, id, key, isLog]);
  if (event === undefined) return undefined;
  const { at } = event;
  const isOpen = ({ from, to }: { from: number; to: number | undefined }): boolean =>
    from <= at && (to === undefined || to > at);
  const open = line.bars.filter(({ start, end }) => isOpen({ from: start, to: end }));
  return {
    ...{ at, state, isNow: cursor === undefined, hasEnded: data.ended && cursor === undefined },
    calls: open.filter(({ kind }) => kind === 'call'),
    questions: open.filter(({ kind }) => kind === 'question'),
    connections: line.stretches.filter(({ from, to }) => isOpen({ from, to })),
  };
}

const callsOf = ({ calls }: MomentView): string =>
  calls.map(({ label, requestId }) => `${label} #${String(requestId)}`).join(', ');
const questionsOf = ({ questions }: MomentView): string =>
  questions.map(({ method }) => method).join(', ');
const connectionsOf = ({ connections }: MomentView): string =>
  [
    ...new Set(
      connections.map(({ stream, node }) => `${stream === 'g' ? 'GET' : 'POST'} on ${node}`),
    ),
  ].join(', ');

/** The session at the moment, for the panel. */
export function Moment({ moment }: { moment: MomentView }) {
  const { at, isNow, hasEnded, state } = moment;
  return (
    <section aria-labelledby="state-title" class="state-at">
      <h2 id="state-title">{isNow ? 'As it is now' : `As it was at ${clock(at)}`}</h2>
      <Facts
        rows={[
          ['state', hasEnded ? 'ended' : state?.state],
          ['running', callsOf(moment) || 'nothing'],
          ['questions', questionsOf(moment) || 'none'],
          ['connections', connectionsOf(moment) || 'none known'],
          ['log level', state?.logLevel],
          [
            'subscriptions',
            state === undefined || state.subscriptions.length === 0
              ? undefined
              : state.subscriptions.join(', '),
          ],
          ['messages', state === undefined ? undefined : `${state.received} in, ${state.sent} out`],
          [
            'complete',
            state?.complete === false ? 'no: the log does not go back to the beginning' : undefined,
          ],
        ]}
      />
    </section>
  );
}

/** The slider that goes back in time, and what the session was like then. */
export function Scrubber({
  events,
  cursor,
  moment,
  onMove,
}: {
  events: EventSummary[];
  cursor: number | undefined;
  moment: MomentView | undefined;
  onMove: (cursor: number | undefined) => void;
}) {
  const last = events.length - 1;
  const at = cursor === undefined ? undefined : events[cursor]?.at;
  return (
    <div class="scrubber">
      <label>
        <span>Go back in time</span>
        <input
          type="range"
          aria-label="Moment"
          aria-describedby="moment-says"
          min={0}
          max={last}
          value={cursor ?? last}
          aria-valuetext={
            at === undefined
              ? 'now'
              : `${clock(at)}, after event ${(cursor ?? 0) + 1} of ${events.length}`
          }
          onInput={(event) => {
            const index = Number(event.currentTarget.value);
            onMove(index >= last ? undefined : index);
          }}
        />
      </label>
      <output>{at === undefined ? 'now' : clock(at)}</output>
      <button type="button" disabled={cursor === undefined} onClick={() => onMove(undefined)}>
        To now
      </button>
      <p id="moment-says" class="says">
        {moment === undefined || moment.isNow
          ? 'Move the slider to see what ran, what was asked, and which connections were held at that time.'
          : `At that time: ${callsOf(moment) || 'no call'} ran; ${questionsOf(moment) || 'no question'} waited for the client; connections: ${connectionsOf(moment) || 'none known'}${moment.state === undefined ? '' : `; ${moment.state.received} messages in, ${moment.state.sent} out so far`}. What is pale had not begun.`}
      </p>
    </div>
  );
}
