import type { Db } from './database.js';

const marked = new WeakSet<Db>();

/** Say that the transaction of `db` has written events: when it is kept, whoever tells others of them is woken. */
export function markEvents(db: Db): void {
  marked.add(db);
}

export function hasEvents(db: Db): boolean {
  return marked.has(db);
}
