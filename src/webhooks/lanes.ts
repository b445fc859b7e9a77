/**
 * How a process shares what it can do between endpoints, so that none waits for another. Each endpoint has a lane: what was
 * claimed for it and is not settled. A lane starts narrow, grows while what it sends succeeds, and shrinks to a single try
 * at a time with a failure; so those who never answer hold little, and those who are quick get much.
 */

/** What goes through a lane. */
export interface Passenger {
  endpointId: string;
  /** Those of one license go one after the other; null = in no order. */
  licenseId: string | null;
  claimedAt: Date;
}

/** What may be done at once. */
export interface LaneLimits {
  /** Claims of a process that are not settled. */
  held: number;
  /** Of those, how many may be for endpoints whose last try failed. */
  heldForFailing: number;
  /** Tries under way to one endpoint: at first, and at most. */
  firstWidth: number;
  width: number;
}

/** A quick endpoint has so many more claims in hand than tries, so that it need not wait for the next claim. */
const CLAIMS_PER_TRY = 4;
/** An endpoint is quick while its tries take no longer. */
const QUICK_MS = 250;
/** Whoever waited so long in a lane goes back, for others to be claimed. */
const LONGEST_WAIT_MS = 2000;
/** Lanes of endpoints that have nothing to do are remembered up to this number. */
const REMEMBERED = 10_000;

class Lane<Item extends Passenger> {
  width: number;
  queue: Item[] = [];
  underWay = 0;
  /** Claimed and not settled: the queue, tries under way, and outcomes that are being written down. */
  held = 0;
  isFailing = false;
  isQuick = false;
  /** Whether more may be due than was claimed. */
  isHungry = false;
  readonly licenses = new Set<string>();

  constructor({ firstWidth }: LaneLimits) {
    this.width = firstWidth;
  }

  /** How many claims it may hold. */
  get capacity(): number {
    return this.isQuick ? CLAIMS_PER_TRY * this.width : this.width;
  }

  get isIdle(): boolean {
    return this.held === 0 && !this.isHungry;
  }

  /** The next that may go, in the order of the claims; null = none. */
  take(): Item | null {
    if (this.underWay >= this.width) return null;
    const index = this.queue.findIndex(({ licenseId }) => licenseId === null || !this.licenses.has(licenseId));
    const [item] = index === -1 ? [] : this.queue.splice(index, 1);
    if (item === undefined) return null;
    this.underWay += 1;
    if (item.licenseId !== null) this.licenses.add(item.licenseId);
    return item;
  }
}

export class Lanes<Item extends Passenger> {
  private readonly lanes = new Map<string, Lane<Item>>();
  private held = 0;
  private heldForFailing = 0;

  constructor(private readonly limits: LaneLimits) {}

  /**
   * How many claims each of these endpoints gets, for which something is due (in the order in which that was due): a claim
   * for each, then a second for each, and so on, first for those who hold least. Claims ahead of tries are only given while
   * there is plenty of room.
   */
  share(endpointIds: readonly string[]): Map<string, number> {
    const due = endpointIds.map((id) => [id, this.laneOf(id)] as const);
    for (const [, lane] of due) lane.isHungry = true;
    const shares = new Map<string, number>();
    const failing = due.filter(([, lane]) => lane.isFailing);
    const well = due.filter(([, lane]) => !lane.isFailing);
    this.fill(shares, well, this.limits.held - this.held, (lane) => lane.width);
    const given = sum(shares.values());
    const roomForFailing = Math.min(this.limits.heldForFailing - this.heldForFailing, this.limits.held - this.held - given);
    this.fill(shares, failing, roomForFailing, (lane) => lane.width);
    const plenty = this.limits.held / 2 - this.held - sum(shares.values());
    this.fill(shares, well, plenty, (lane) => lane.capacity);
    return shares;
  }

  /** What was claimed with these shares. Who got less than its share has nothing more that is due. */
  add(shares: ReadonlyMap<string, number>, claimed: readonly Item[]): void {
    const counts = new Map<string, number>();
    for (const item of claimed) {
      const lane = this.laneOf(item.endpointId);
      lane.queue.push(item);
      this.hold(lane, 1);
      counts.set(item.endpointId, (counts.get(item.endpointId) ?? 0) + 1);
    }
    for (const [id, share] of shares) if ((counts.get(id) ?? 0) < share) this.laneOf(id).isHungry = false;
  }

  /** Those that go now; each must be told to have `ended`, and be `settled`. */
  start(endpointIds: Iterable<string>): Item[] {
    const started: Item[] = [];
    for (const id of endpointIds) {
      const lane = this.laneOf(id);
      for (let item = lane.take(); item !== null; item = lane.take()) started.push(item);
    }
    return started;
  }

  /** The try is over; null = it says nothing about the endpoint. */
  ended(item: Item, outcome: { isSuccess: boolean; durationMs: number } | null): void {
    const lane = this.laneOf(item.endpointId);
    const wasFull = lane.underWay >= lane.width;
    lane.underWay -= 1;
    if (item.licenseId !== null) lane.licenses.delete(item.licenseId);
    if (outcome === null) return;
    this.hold(lane, 0, !outcome.isSuccess);
    lane.isQuick = outcome.isSuccess && outcome.durationMs <= QUICK_MS;
    if (!outcome.isSuccess) lane.width = 1;
    else if (wasFull) lane.width = Math.min(2 * lane.width, this.limits.width);
  }

  /** Its outcome is written down, or it was given back. Answers whether it is time to claim more. */
  settled(item: Item): boolean {
    const lane = this.laneOf(item.endpointId);
    const wasFull = this.held >= this.limits.held || (lane.isFailing && this.heldForFailing >= this.limits.heldForFailing);
    this.hold(lane, -1);
    return wasFull || (lane.isHungry && lane.held <= lane.capacity / 2);
  }

  /**
   * Take out those that wait behind slow ones, to be given back; they stay held until they are settled. Where that happens,
   * no more is claimed than can go at once.
   */
  takeStalled(now: Date): Item[] {
    const stalled: Item[] = [];
    for (const lane of this.lanes.values()) {
      const [first] = lane.queue;
      if (first === undefined || now.getTime() - first.claimedAt.getTime() < LONGEST_WAIT_MS) continue;
      stalled.push(...lane.queue.splice(0));
      lane.isQuick = false;
      lane.width = Math.max(1, lane.underWay);
    }
    return stalled;
  }

  /** Take out all that have not begun. */
  takeWaiting(): Item[] {
    return [...this.lanes.values()].flatMap((lane) => lane.queue.splice(0));
  }

  private fill(
    shares: Map<string, number>,
    due: readonly (readonly [string, Lane<Item>])[],
    room: number,
    limitOf: (lane: Lane<Item>) => number,
  ): void {
    const heldBy = ([id, lane]: readonly [string, Lane<Item>]): number => lane.held + (shares.get(id) ?? 0);
    let hungry = due.filter((entry) => heldBy(entry) < limitOf(entry[1])).sort((a, b) => heldBy(a) - heldBy(b));
    for (let left = room; left > 0 && hungry.length > 0;) {
      const served = hungry.slice(0, left);
      for (const [id] of served) shares.set(id, (shares.get(id) ?? 0) + 1);
      left -= served.length;
      hungry = hungry.filter((entry) => heldBy(entry) < limitOf(entry[1]));
    }
  }

  /** Count what a lane holds, and whether that is for a failing endpoint. */
  private hold(lane: Lane<Item>, change: number, isFailing = lane.isFailing): void {
    if (lane.isFailing) this.heldForFailing -= lane.held;
    this.held += change;
    lane.held += change;
    lane.isFailing = isFailing;
    if (lane.isFailing) this.heldForFailing += lane.held;
  }

  private laneOf(endpointId: string): Lane<Item> {
    const known = this.lanes.get(endpointId);
    if (known !== undefined) return known;
    if (this.lanes.size >= REMEMBERED) for (const [id, { isIdle }] of this.lanes) if (isIdle) this.lanes.delete(id);
    const lane = new Lane<Item>(this.limits);
    this.lanes.set(endpointId, lane);
    return lane;
  }
}

function sum(numbers: Iterable<number>): number {
  let total = 0;
  for (const number of numbers) total += number;
  return total;
}
