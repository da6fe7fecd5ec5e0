import { afterAll } from 'vitest';

interface Service {
  stop: () => Promise<unknown>;
}

/**
 * Returns a function that waits for a service which the tests of a file share. The services stop after these tests, the last
 * one first.
 */
export function useServices(): <T extends Service>(starting: Promise<T>) => Promise<T> {
  const open: Service[] = [];
  afterAll(async () => {
    for (const service of open.reverse()) await service.stop();
  }, 60_000);
  return async (starting) => {
    const service = await starting;
    open.push(service);
    return service;
  };
}
