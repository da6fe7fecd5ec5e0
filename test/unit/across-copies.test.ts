import { expect, it, vi } from 'vitest';

/** Imports the errors once more, as another copy of the package has them. */
async function importCopy() {
  vi.resetModules();
  const { AnynodeError, FailedStep } = await import('../../src/protocol/errors.js');
  const { TooManySessions } = await import('../../src/backplane/backplane.js');
  const { ClientError } = await import('../../src/handle/session-handle.js');
  const { ANY_PRINCIPAL } = await import('../../src/backplane/backplane.js');
  return { AnynodeError, FailedStep, TooManySessions, ClientError, ANY_PRINCIPAL };
}

it('instanceof recognizes the errors of another copy of the package', async () => {
  const [one, other] = [await importCopy(), await importCopy()];
  expect(one.AnynodeError).not.toBe(other.AnynodeError);

  expect(new one.AnynodeError('closed', 'x')).toBeInstanceOf(other.AnynodeError);
  expect(new one.FailedStep(new Error('x'))).toBeInstanceOf(other.AnynodeError);
  expect(new one.TooManySessions('pending')).toBeInstanceOf(other.TooManySessions);
  expect(new one.ClientError(1, 'x', undefined)).toBeInstanceOf(other.ClientError);
  expect(one.ANY_PRINCIPAL).toBe(other.ANY_PRINCIPAL);
});

it('instanceof tells the errors apart, within a copy and across copies', async () => {
  const [one, other] = [await importCopy(), await importCopy()];
  for (const { AnynodeError, FailedStep, TooManySessions } of [one, other]) {
    const error = new one.AnynodeError('closed', 'x');
    expect(error).not.toBeInstanceOf(FailedStep);
    expect(error).not.toBeInstanceOf(TooManySessions);
    for (const value of [new Error('x'), undefined, null, 'x', {}, AnynodeError]) {
      expect(value instanceof AnynodeError).toBe(false);
    }
  }
});

it('instanceof is as usual for a class that extends an error', async () => {
  const { AnynodeError } = await importCopy();
  class Own extends AnynodeError {}
  expect(new Own('closed', 'x')).toBeInstanceOf(Own);
  expect(new Own('closed', 'x')).toBeInstanceOf(AnynodeError);
  expect(new AnynodeError('closed', 'x')).not.toBeInstanceOf(Own);
});
