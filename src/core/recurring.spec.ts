import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { Logger } from 'pino';
import { Recurring } from './recurring.js';

const INTERVAL_MS = 1000;
const warn = jest.fn();
const logger = { warn } as unknown as Logger;

/** A round that waits to be let go. */
function gated() {
  const gates: (() => void)[] = [];
  const goesOn: (() => boolean)[] = [];
  const round = (isGoingOn: () => boolean): Promise<void> => {
    goesOn.push(isGoingOn);
    return new Promise((resolve) => gates.push(resolve));
  };
  return { round, gates, goesOn };
}
const settle = () => jest.advanceTimersByTimeAsync(0);

beforeEach(() => {
  jest.useFakeTimers();
  warn.mockClear();
});
afterEach(() => {
  jest.useRealTimers();
});

describe('work that recurs', () => {
  it('begins at start and after every interval, never twice at once', async () => {
    const { round, gates } = gated();
    const work = new Recurring('it failed', INTERVAL_MS, round, logger);
    work.start();
    await settle();
    expect(gates).toHaveLength(1);
    await jest.advanceTimersByTimeAsync(5.5 * INTERVAL_MS);
    expect(gates).toHaveLength(1);
    gates[0]?.();
    await settle();
    expect(gates).toHaveLength(1);
    await jest.advanceTimersByTimeAsync(INTERVAL_MS);
    expect(gates).toHaveLength(2);
    const stopped = work.stop();
    gates[1]?.();
    await stopped;
  });

  it('does a whole round for whoever asks, after the one in hand', async () => {
    const { round, gates } = gated();
    const work = new Recurring('it failed', INTERVAL_MS, round, logger);
    const first = work.run();
    let isDone = false;
    const second = work.run().then(() => {
      isDone = true;
    });
    await settle();
    gates[0]?.();
    await first;
    await settle();
    expect([gates.length, isDone]).toEqual([2, false]);
    gates[1]?.();
    await second;
  });

  it('is tried again when it failed', async () => {
    let rounds = 0;
    const round = (): Promise<void> => (++rounds === 1 ? Promise.reject(new Error('broken')) : Promise.resolve());
    const work = new Recurring('nothing was done', INTERVAL_MS, round, logger);
    work.start();
    await jest.advanceTimersByTimeAsync(INTERVAL_MS);
    expect(rounds).toBe(2);
    expect(warn.mock.calls).toEqual([[expect.anything(), 'nothing was done; it is tried again']]);
    await work.stop();
  });

  it('ends with what is in hand, and begins nothing more', async () => {
    const { round, gates, goesOn } = gated();
    const work = new Recurring('it failed', INTERVAL_MS, round, logger);
    work.start();
    void work.run();
    await settle();
    expect(goesOn[0]?.()).toBe(true);
    let isStopped = false;
    const stopped = work.stop().then(() => {
      isStopped = true;
    });
    await settle();
    expect([isStopped, goesOn[0]?.()]).toEqual([false, false]);
    gates[0]?.();
    await stopped;
    await jest.advanceTimersByTimeAsync(3 * INTERVAL_MS);
    expect(gates).toHaveLength(1);
  });
});
