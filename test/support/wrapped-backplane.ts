import type { Backplane, JoinOptions, JoinedBackplane } from '../../src/backplane/backplane.js';

/** A backplane whose nodes a test watches, holds up, or fails: the methods that `change` returns take the place of the node's own. */
export function wrappedBackplane(
  store: Backplane,
  change: (backplane: JoinedBackplane, options: JoinOptions) => Partial<JoinedBackplane>,
): Backplane {
  return {
    join(options) {
      const joined = store.join(options);
      const changed = change(joined, options);
      return new Proxy(joined, {
        get(target, name) {
          const own: unknown = Reflect.get(name in changed ? changed : target, name);
          return typeof own === 'function' ? (own as () => unknown).bind(target) : own;
        },
      });
    },
  };
}
