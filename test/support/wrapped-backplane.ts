import type { Backplane, JoinOptions, Membership } from '../../src/backplane/backplane.js';

/** A backplane whose nodes a test watches, holds up, or fails: the methods that `change` returns take the place of the node's own. */
export function wrappedBackplane(
  store: Backplane,
  change: (membership: Membership, options: JoinOptions) => Partial<Membership>,
): Backplane {
  return {
    join(options) {
      const membership = store.join(options);
      const changed = change(membership, options);
      return new Proxy(membership, {
        get(target, name) {
          const own: unknown = Reflect.get(name in changed ? changed : target, name);
          return typeof own === 'function' ? (own as () => unknown).bind(target) : own;
        },
      });
    },
  };
}
