/**
 * A promise for users of this library. Whoever awaits it gets what it rejects with. One that its caller does not look at ends
 * no process: a notification that is sent in passing is no reason for that.
 */
export function unheld<T>(
  promise: Promise<T>,
  onRejected: (error: unknown) => void = () => undefined,
): Promise<T> {
  promise.catch(onRejected);
  return promise;
}
