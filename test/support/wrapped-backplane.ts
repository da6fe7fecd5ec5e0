import type { Backplane, JoinOptions, JoinedBackplane } from '../../src/backplane/backplane.js';

/**
 * Wraps a backplane, so that a test can watch, delay or fail the calls of its nodes. The methods that `change` returns
 * replace those of the node.
 */
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
