/** What a run found for one item; an error is that item's alone. */
type Outcome<Result> = Result | Error;

interface Waiting<Item, Result> {
  item: Item;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

interface Bounds {
  /** How many runs of `work` may be under way at once. */
  runs: number;
  /** How many items a run has at most. */
  size: number;
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

  /** Resolves with what its run answered for the item; rejects with its error, or with that of the run. */
  do(item: Item): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
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
    while (this.waiting.length > 0 && this.running.size < this.bounds.runs) {
      const group = this.waiting.splice(0, this.bounds.size);
      const run = this.run(group).then(() => {
        this.running.delete(run);
        this.start();
      });
      this.running.add(run);
    }
  }

  private async run(group: readonly Waiting<Item, Result>[]): Promise<void> {
    try {
      const outcomes = await this.work(group.map(({ item }) => item));
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
