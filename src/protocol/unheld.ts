/**
 * Marks a promise that is returned to users of this library. A caller that awaits the promise gets its rejection. If the
 * caller ignores the promise, its rejection does not end the process.
 */
export function unheld<T>(
  promise: Promise<T>,
  onRejected: (error: unknown) => void = () => undefined,
): Promise<T> {
  promise.catch(onRejected);
  return promise;
}

/** Marks the promises of all methods of an object. The methods must not use `this`. */
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

/** Marks the promises of an iterator. A caller may request items ahead, and one may reject before the caller awaits it. */
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
