import { describe, expect, it } from '@jest/globals';
import { Grouped } from './grouped.js';

/** Runs that end when the test says so. */
function controlled(given: { runs: number; size: number; waiting?: number; waitMs?: number }) {
  const bounds = { waiting: 100, waitMs: 10_000, ...given };
  const groups: number[][] = [];
  const ends: ((outcomes?: (number | Error)[]) => void)[] = [];
  const failures: ((error: Error) => void)[] = [];
  const grouped = new Grouped<number, number>((items) => {
    groups.push([...items]);
    return new Promise((resolve, reject) => {
      ends.push((outcomes) => {
        resolve(outcomes ?? items.map((item) => item * 10));
      });
      failures.push(reject);
    });
  }, bounds);
  return { grouped, groups, ends, failures };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

describe('what is done in groups', () => {
  it('is begun at once when it is asked alone', async () => {
    const { grouped, groups, ends } = controlled({ runs: 1, size: 10 });
    const asked = grouped.do(1);
    await turn();
    expect(groups).toEqual([[1]]);
    ends[0]!();
    expect(await asked).toBe(10);
  });

  it('collects while runs are under way, never more runs than allowed and never more items than a group holds', async () => {
    const { grouped, groups, ends } = controlled({ runs: 2, size: 3 });
    const first = grouped.do(1);
    await turn();
    const second = grouped.do(2);
    await turn();
    const others = [3, 4, 5, 6, 7].map((item) => grouped.do(item));
    await turn();
    expect(groups).toEqual([[1], [2]]);
    ends[1]!();
    expect(await second).toBe(20);
    await turn();
    expect(groups).toEqual([[1], [2], [3, 4, 5]]);
    ends[0]!();
    await first;
    await turn();
    expect(groups).toEqual([[1], [2], [3, 4, 5], [6, 7]]);
    ends[3]!();
    ends[2]!();
    expect(await Promise.all(others)).toEqual([30, 40, 50, 60, 70]);
  });

  it('fails alone for an item, for all of a group when its run fails, and goes on', async () => {
    const { grouped, ends, failures } = controlled({ runs: 1, size: 10 });
    const settled = Promise.allSettled([grouped.do(1), grouped.do(2)]);
    await turn();
    ends[0]!([new Error('only the first'), 20]);
    expect(await settled).toEqual([
      { status: 'rejected', reason: new Error('only the first') },
      { status: 'fulfilled', value: 20 },
    ]);
    const failing = Promise.allSettled([grouped.do(3), grouped.do(4)]);
    await turn();
    failures[1]!(new Error('the run'));
    expect((await failing).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const next = grouped.do(5);
    await turn();
    ends[2]!();
    expect(await next).toBe(50);
  });

  it('fails a group that is answered for others than were asked', async () => {
    const { grouped, ends } = controlled({ runs: 1, size: 10 });
    const asked = Promise.allSettled([grouped.do(1), grouped.do(2)]);
    await turn();
    ends[0]!([10]);
    expect((await asked).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });

  it('drains: what was asked for is done, also what has not begun', async () => {
    const done: number[] = [];
    const grouped = new Grouped<number, null>(
      async (items) => {
        await turn();
        done.push(...items);
        return items.map(() => null);
      },
      { runs: 1, size: 2, waiting: 100, waitMs: 10_000 },
    );
    for (const item of [1, 2, 3, 4, 5]) void grouped.do(item);
    await grouped.drain();
    expect(done).toEqual([1, 2, 3, 4, 5]);
  });

  it('refuses more than may wait, and nothing of what waits already', async () => {
    const { grouped, ends } = controlled({ runs: 1, size: 2, waiting: 2 });
    const first = grouped.do(1);
    await turn();
    const others = Promise.allSettled([grouped.do(2), grouped.do(3), grouped.do(4)]);
    ends[0]!();
    expect(await first).toBe(10);
    await turn();
    ends[1]!();
    expect((await others).map((one) => (one.status === 'fulfilled' ? one.value : one.reason.code))).toEqual([20, 30, 'UNAVAILABLE']);
  });

  it('does nothing for who has waited for too long', async () => {
    const { grouped, groups } = controlled({ runs: 1, size: 2, waitMs: -1 });
    await expect(grouped.do(1)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(groups).toEqual([]);
  });
});
