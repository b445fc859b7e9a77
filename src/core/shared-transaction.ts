import { AsyncLocalStorage } from 'node:async_hooks';
import type { Db } from './database.js';

/**
 * One transaction that the units of work of one request share, so that they are kept or lost together, and with them
 * what is written about them. Each unit is as it would be alone: it has the connection to itself, because each sets its
 * own tenant; and one that fails takes back its own writes and no other's, so that whoever catches its error may go on.
 */
export class SharedTransaction {
  private readonly inside = new AsyncLocalStorage<{ isRunning: boolean }>();
  private turns: Promise<unknown> = Promise.resolve();
  private isOver = false;

  /** `kept` collects what is to be done after the commit. */
  constructor(
    private readonly db: Db,
    private readonly kept: (() => void)[],
  ) {}

  /** Whether units may still join; what a request leaves running behind its answer has transactions of its own. */
  get isOpen(): boolean {
    return !this.isOver;
  }

  /**
   * Run the unit when those before it have ended.
   * @throws when it is begun from inside of another, for whose end it would wait for ever
   */
  join<T>(unit: (db: Db) => Promise<T>): Promise<T> {
    if (this.inside.getStore()?.isRunning === true) throw new Error('A unit of work was begun inside of another one: pass its `db` on.');
    const turn = this.turns.then(() => this.run(unit));
    this.turns = turn.catch(() => undefined);
    return turn;
  }

  afterCommit(action: () => void): void {
    this.kept.push(action);
  }

  /** No unit joins any more; resolves when the last one has ended. */
  async close(): Promise<void> {
    this.isOver = true;
    await this.turns;
  }

  private async run<T>(unit: (db: Db) => Promise<T>): Promise<T> {
    const mark = { isRunning: true };
    await this.db.$executeRawUnsafe('SAVEPOINT unit');
    try {
      return await this.inside.run(mark, () => unit(this.db));
    } catch (error) {
      // When even this fails, the transaction stays as it is: aborted, and nothing more can be written in it.
      await this.db.$executeRawUnsafe('ROLLBACK TO SAVEPOINT unit').catch(() => undefined);
      throw error;
    } finally {
      mark.isRunning = false;
    }
  }
}
