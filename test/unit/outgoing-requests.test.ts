import { describe, expect, it } from 'vitest';
import type { Asker } from '../../src/replica/requests/outgoing-requests.js';
import { OutgoingRequests, nodeOf } from '../../src/replica/requests/outgoing-requests.js';

function asker(sessionId: string): Asker {
  return { sessionId, deliver: () => undefined };
}

describe('the id of a request to the client', () => {
  it('names its node, and is used once', () => {
    const asks = new OutgoingRequests('node1');
    const ids = [0, 0, 1].map((original) => asks.add(asker('s'), original));
    expect(ids).toEqual(['node1.1', 'node1.2', 'node1.3']);
    expect(ids.map(nodeOf)).toEqual(['node1', 'node1', 'node1']);
  });

  it('differs between two nodes, although replicas count alike', () => {
    expect(new OutgoingRequests('a').add(asker('s'), 0)).not.toBe(
      new OutgoingRequests('b').add(asker('s'), 0),
    );
  });

  it.each([undefined, null, 0, 7, '', 'a', 'a.', '.1', 'a.b', 'A.1', 'a.1.1', 'a .1', {}, ['a.1']])(
    '%j is not one',
    (id) => {
      expect(nodeOf(id)).toBeUndefined();
    },
  );
});

describe('an open request to the client', () => {
  it('is found by its id, with its sender and the sender’s id', () => {
    const asks = new OutgoingRequests('node1');
    const who = asker('s');
    const id = asks.add(who, 'original');
    expect(asks.find('s', id)).toEqual({ asker: who, original: 'original' });
  });

  it('is not found from another session', () => {
    const asks = new OutgoingRequests('node1');
    const id = asks.add(asker('s'), 0);
    expect(asks.find('other', id)).toBeUndefined();
  });

  it('is not found once it was removed', () => {
    const asks = new OutgoingRequests('node1');
    const id = asks.add(asker('s'), 0);
    asks.remove(id);
    expect(asks.find('s', id)).toBeUndefined();
  });

  it('is not found by any other value', () => {
    const asks = new OutgoingRequests('node1');
    asks.add(asker('s'), 0);
    for (const id of [undefined, null, 0, 1, 'node1.2', 'node2.1', {}]) {
      expect(asks.find('s', id)).toBeUndefined();
    }
  });
});
