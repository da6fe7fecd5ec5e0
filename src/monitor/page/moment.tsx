import { useEffect, useState } from 'preact/hooks';
import type { Timeline } from '../../timeline/picture.js';
import type { StateView } from '../wire.js';
import { Facts } from './facts.js';
import type { Feed } from './feed.js';
import { clock } from './format.js';
import type { SessionData } from './use-session.js';

/** The session as it was at the moment of the slider, or as it is now. */
export function Moment({
  feed,
  data,
  line,
  cursor,
}: {
  feed: Feed;
  data: SessionData;
  line: Timeline;
  cursor: number | undefined;
}) {
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
  if (event === undefined) return null;
  const { at } = event;
  const open = line.bars.filter(
    (bar) => bar.start <= at && (bar.end === undefined || bar.end > at),
  );
  const held = line.stretches.filter(
    (stretch) => stretch.from <= at && (stretch.to === undefined || stretch.to > at),
  );
  return (
    <section aria-labelledby="state-title" class="state-at">
      <h2 id="state-title">
        {cursor === undefined ? 'As it is now' : `As it was at ${clock(at)}`}
      </h2>
      <Facts
        rows={[
          ['state', data.ended && cursor === undefined ? 'ended' : state?.state],
          [
            'running',
            open
              .filter(({ kind }) => kind === 'call')
              .map(({ label, requestId }) => `${label} #${String(requestId)}`)
              .join(', ') || 'nothing',
          ],
          [
            'questions',
            open
              .filter(({ kind }) => kind === 'question')
              .map(({ method }) => method)
              .join(', ') || 'none',
          ],
          [
            'connections',
            [
              ...new Set(
                held.map(({ stream, node }) => `${stream === 'g' ? 'GET' : 'POST'} on ${node}`),
              ),
            ].join(', ') || 'none known',
          ],
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
