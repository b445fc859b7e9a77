import { describe, expect, it } from '@jest/globals';
import type { Database } from '../core/database.js';
import { Metrics } from '../core/metrics.js';
import { CredentialCache, MAX_AGE_MS } from './credential-cache.js';

describe('the cache of credentials', () => {
  const database = {
    afterCommit: (action: () => void) => {
      action();
    },
  } as Database;

  /** A source that counts its reads and answers when it is told to. */
  function source() {
    const waiting: ((facts: string | null) => void)[] = [];
    const load = (): Promise<string | null> => new Promise((resolve) => waiting.push(resolve));
    return { load, waiting };
  }

  it('shares one read among all who ask meanwhile and shortly after', async () => {
    const cache = new CredentialCache(database, new Metrics());
    const { load, waiting } = source();
    const asked = Array.from({ length: 40 }, (_, index) => cache.read('a', load, index));
    waiting[0]!('facts');
    expect(new Set(await Promise.all(asked))).toEqual(new Set(['facts']));
    await cache.read('a', load, MAX_AGE_MS - 1);
    expect(waiting).toHaveLength(1);
  });

  it('counts the age from before the read, however long that takes', async () => {
    const cache = new CredentialCache(database, new Metrics());
    const { load, waiting } = source();
    const slow = cache.read('a', load, 0);
    const fresh = cache.read('a', load, MAX_AGE_MS);
    expect(waiting).toHaveLength(2);
    waiting[1]!('new');
    waiting[0]!('old');
    expect(await Promise.all([slow, fresh, cache.read('a', load, MAX_AGE_MS + 1)])).toEqual(['old', 'new', 'new']);
  });

  it('remembers no credential that is unknown, and no read that failed', async () => {
    const cache = new CredentialCache(database, new Metrics());
    let reads = 0;
    const answer = (facts: string | null) => (): Promise<string | null> => {
      reads += 1;
      return facts === 'fault' ? Promise.reject(new Error('the database is away')) : Promise.resolve(facts);
    };
    expect(await cache.read('a', answer(null), 0)).toBeNull();
    await expect(cache.read('a', answer('fault'), 1)).rejects.toThrow('the database is away');
    expect(await cache.read('a', answer('facts'), 2)).toBe('facts');
    expect(reads).toBe(3);
  });

  it('forgets everything at once', async () => {
    const cache = new CredentialCache(database, new Metrics());
    await cache.read('a', () => Promise.resolve('old'), 0);
    cache.clear();
    expect(await cache.read('a', () => Promise.resolve('new'), 1)).toBe('new');
  });

  it('keeps credentials apart', async () => {
    const cache = new CredentialCache(database, new Metrics());
    await cache.read('a', () => Promise.resolve('of a'), 0);
    expect(await cache.read('b', () => Promise.resolve('of b'), 0)).toBe('of b');
  });
});
