import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { Lanes, type Passenger } from './lanes.js';

interface Item extends Passenger {
  place: number;
}

const LIMITS = { held: 20, heldForFailing: 5, firstWidth: 2, width: 8 };
const start = new Date('2026-11-22T12:00:00.000Z');
const later = (milliseconds: number): Date => new Date(start.getTime() + milliseconds);

let places = 0;
const itemFor = (endpointId: string, licenseId: string | null = null): Item => ({
  endpointId,
  licenseId,
  claimedAt: start,
  place: places++,
});

/** Claim the whole share of each, and let go what may. */
function claim(lanes: Lanes<Item>, ...endpointIds: string[]): Item[] {
  const shares = lanes.share(endpointIds);
  lanes.add(
    shares,
    [...shares].flatMap(([id, count]) => Array.from({ length: count }, () => itemFor(id))),
  );
  return lanes.start(endpointIds);
}

function end(lanes: Lanes<Item>, items: readonly Item[], isSuccess: boolean, durationMs = 500): void {
  for (const item of items) {
    lanes.ended(item, { isSuccess, durationMs });
    lanes.settled(item);
  }
}

describe('lanes', () => {
  it('begin narrow, double with success, and shrink to one with a failure', () => {
    const lanes = new Lanes<Item>(LIMITS);
    const widths = [true, true, true, false, true].map((isSuccess) => {
      const started = claim(lanes, 'a');
      end(lanes, started, isSuccess);
      return started.length;
    });
    expect([...widths, claim(lanes, 'a').length]).toEqual([2, 4, 8, 8, 1, 2]);
  });

  it('give a quick endpoint more claims than tries, while there is plenty of room', () => {
    const lanes = new Lanes<Item>(LIMITS);
    end(lanes, claim(lanes, 'a'), true, 10);
    expect(lanes.share(['a'])).toEqual(new Map([['a', 10]]));
    expect(lanes.share(['a', 'b'])).toEqual(
      new Map([
        ['a', 8],
        ['b', 2],
      ]),
    );
  });

  it('give everybody one before anybody has two, and first those who hold nothing', () => {
    const lanes = new Lanes<Item>({ ...LIMITS, held: 6 });
    claim(lanes, 'a', 'b');
    expect(lanes.share(['a', 'b', 'c', 'd', 'e'])).toEqual(
      new Map([
        ['c', 1],
        ['d', 1],
      ]),
    );
  });

  it('leave most of the room to those who do not fail', () => {
    const lanes = new Lanes<Item>(LIMITS);
    const failing = Array.from({ length: 10 }, (_, index) => `failing ${index}`);
    for (const id of failing) end(lanes, claim(lanes, id), false);
    expect([...lanes.share(failing).values()]).toEqual([1, 1, 1, 1, 1]);
    expect(claim(lanes, ...failing)).toHaveLength(5);
    expect(lanes.share(failing).size).toBe(0);
    expect(lanes.share(['well']).get('well')).toBe(2);
  });

  it('give back what waits behind slow ones, and claim no more of it', () => {
    const lanes = new Lanes<Item>(LIMITS);
    end(lanes, claim(lanes, 'a'), true, 10);
    const started = claim(lanes, 'a');
    expect(lanes.takeStalled(later(1999))).toEqual([]);
    const stalled = lanes.takeStalled(later(2000));
    expect([started.length, stalled.length]).toEqual([4, 6]);
    for (const item of stalled) lanes.settled(item);
    expect(lanes.share(['a']).size).toBe(0);
  });

  it('say when it is time to claim more: half of it is done and more was due, or others wait for the room', () => {
    const lanes = new Lanes<Item>({ ...LIMITS, held: 4 });
    const settle = (item: Item): boolean => {
      lanes.ended(item, { isSuccess: true, durationMs: 500 });
      return lanes.settled(item);
    };
    const [first, second] = claim(lanes, 'a') as [Item, Item];
    expect(settle(first)).toBe(true);
    lanes.add(lanes.share(['a']), []);
    expect(settle(second)).toBe(false);
    const full = claim(lanes, 'b', 'c');
    expect(full).toHaveLength(4);
    expect(settle(full[0]!)).toBe(true);
  });

  it('never hold or let go more than they may, and keep each license in its order', () => {
    const ids = ['a', 'b', 'c'];
    const step = fc.record({ chance: fc.nat(), isSuccess: fc.boolean(), ends: fc.nat({ max: 6 }) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const lanes = new Lanes<Item>(LIMITS);
        const underWay: Item[] = [];
        const lastPlace = new Map<string, number>();
        let held = 0;
        const begin = (items: readonly Item[]): void => {
          for (const item of items) {
            const lane = `${item.endpointId} ${item.licenseId ?? ''}`;
            expect(item.place).toBeGreaterThan(lastPlace.get(lane) ?? -1);
            expect(underWay.some((other) => `${other.endpointId} ${other.licenseId ?? ''}` === lane)).toBe(false);
            lastPlace.set(lane, item.place);
            underWay.push(item);
          }
          for (const id of ids) expect(underWay.filter(({ endpointId }) => endpointId === id).length).toBeLessThanOrEqual(LIMITS.width);
        };
        for (const { chance, isSuccess, ends } of steps) {
          const shares = lanes.share(ids);
          const claimed = [...shares].flatMap(([id, count]) =>
            Array.from({ length: count }, (_, n) => itemFor(id, `license ${(chance + n) % 3}`)),
          );
          lanes.add(shares, claimed);
          held += claimed.length;
          expect(held).toBeLessThanOrEqual(LIMITS.held);
          begin(lanes.start(ids));
          for (const item of underWay.splice(0, ends)) {
            lanes.ended(item, { isSuccess, durationMs: chance % 500 });
            begin(lanes.start([item.endpointId]));
            lanes.settled(item);
            held -= 1;
          }
        }
        const waiting = lanes.takeWaiting();
        expect(waiting.length + underWay.length).toBe(held);
      }),
    );
  });
});
