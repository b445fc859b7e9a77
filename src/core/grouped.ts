import { LatchkeyError } from '../domain/errors.js';
import { activeSpans, inSpans, type Span } from './spans.js';

/** What a run found for one item; an error is that item's alone. */
type Outcome<Result> = Result | Error;

interface Waiting<Item, Result> {
  /** In milliseconds of the process's clock. */
  since: number;
  item: Item;
  /** What it is a step of. */
  spans: readonly Span[];
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

interface Bounds {
  /** How many runs of `work` may be under way at once. */
  runs: number;
  /** How many items a run has at most. */
  size: number;
  /** How many items may wait, and how long: beyond that they are refused, rather than done for somebody who has gone. */
  waiting: number;
  waitMs: number;
}

/**
 * Things that many ask for at once, done together: `work` gets a group of items, and answers for each, in their order.
 * While runs are under way the next group collects, so groups grow with the load, and nobody waits for a timer: what is
 * asked alone is done at once.
 */
export class Grouped<Item, Result> {
  private waiting: Waiting<Item, Result>[] = [];
  private readonly running = new Set<Promise<void>>();
  private isStartPlanned = false;

  constructor(
    private readonly work: (items: readonly Item[]) => Promise<readonly Outcome<Result>[]>,
    private readonly bounds: Bounds,
  ) {}

  /**
   * Resolves with what its run answered for the item; rejects with its error, or with that of the run.
   * @throws 503 UNAVAILABLE when too many wait, or it has waited too long
   */
  do(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      if (this.waiting.length >= this.bounds.waiting) {
        reject(tooMuch());
        return;
      }
      this.waiting.push({ item, since: performance.now(), spans: activeSpans(), resolve, reject });
      if (this.isStartPlanned || this.running.size >= this.bounds.runs) return;
      this.isStartPlanned = true;
      // Behind what else has come in by now, from other connections: that goes along.
      setImmediate(() => {
        this.isStartPlanned = false;
        this.start();
      });
    });
  }

  /** Resolves when everything that was asked for is done. */
  async drain(): Promise<void> {
    while (this.waiting.length > 0 || this.running.size > 0) {
      this.start();
      await Promise.all(this.running);
    }
  }

  private start(): void {
    this.refuseOld();
    while (this.waiting.length > 0 && this.running.size < this.bounds.runs) {
      const group = this.waiting.splice(0, this.bounds.size);
      const run = this.run(group).then(() => {
        this.running.delete(run);
        this.start();
      });
      this.running.add(run);
    }
  }

  private refuseOld(): void {
    const oldest = performance.now() - this.bounds.waitMs;
    const firstYoung = this.waiting.findIndex(({ since }) => since >= oldest);
    const old = this.waiting.splice(0, firstYoung === -1 ? this.waiting.length : firstYoung);
    for (const { reject } of old) reject(tooMuch());
  }

  private async run(group: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      // Of all who wait for it, and not of whoever happened to begin it.
      const spans = group.flatMap((waiting) => waiting.spans);
      const outcomes = await inSpans(spans, () => this.work(group.map(({ item }) => item)));
      if (outcomes.length !== group.length) throw new Error('A group was not answered item by item.');
      for (const [index, { resolve, reject }] of group.entries()) {
        const outcome = outcomes[index] as Outcome<Result>;
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      }
    } catch (error) {
      for (const { reject } of group) reject(error);
    }
  }
}

function tooMuch(): LatchkeyError {
  return new LatchkeyError('UNAVAILABLE', 'The server has more to do than it can. Try again shortly.');
}
