import { describe, expect, it } from '@jest/globals';
import { migrationStatus, pendingDiff } from '../src/core/schema-engine.js';
import { testDatabaseUrl } from './support/settings.js';

describe('the migrations', () => {
  it('lead to exactly what schema.prisma says: no next migration is waiting to be written', async () => {
    expect(await pendingDiff(testDatabaseUrl())).toBe('');
  });

  it('are all applied, none failed, none edited since', async () => {
    expect(await migrationStatus(testDatabaseUrl())).toMatchObject({ pending: [], failed: [], edited: [], unknown: [] });
  });
});
