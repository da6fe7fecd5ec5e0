/**
 * Marks a promise that is returned to users of this library. A caller that awaits the promise gets its rejection. Where the caller
 * drops the promise, the rejection does not end the process, as a notification sent in passing is no reason to.
 */
export function unheld<T>(
  promise: Promise<T>,
  onRejected: (error: unknown) => void = () => undefined,
): Promise<T> {
  promise.catch(onRejected);
  return promise;
}

/** The same for all methods of an object that has no `this`. */
export function unheldMethods<T extends object>(methods: T): T {
  const marked = Object.entries(methods).map(
    ([name, method]: [string, (...args: unknown[]) => unknown]) => [
      name,
      (...args: unknown[]): unknown => {
        const result = method(...args);
        return result instanceof Promise ? unheld(result) : result;
      },
    ],
  );
  return Object.fromEntries(marked) as T;
}

/** The same for items that are asked for ahead of their use: the promise of one may reject before it is awaited. */
export function unheldItems<T>(items: AsyncIterable<T>): AsyncIterable<T> {
  return {
    [Symbol.asyncIterator]() {
      const iterator = items[Symbol.asyncIterator]();
      return {
        next: () => unheld(iterator.next()),
        return: (value: unknown) =>
          unheld(iterator.return?.(value) ?? Promise.resolve({ done: true as const, value })),
      };
    },
  };
}
