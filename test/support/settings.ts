import { settings } from '../../src/core/config.js';

export const TEST_PLATFORM_TOKEN = 'platform-token-for-tests-0123456789';

/** The database of this run, as its superuser: servers switch to roles of their own, tests may look behind the scenes. */
export const testDatabaseUrl = (): string => fromSetUp('TEST_DATABASE_URL');

/** Shared by every server of a run, so that they know each other's keys. */
export const testMasterKey = (): string => fromSetUp('TEST_MASTER_KEY');

/** No rate limits: tests ask as often as they like. */
export const unlimited = Object.fromEntries(
  Object.keys(settings)
    .filter((name) => name.startsWith('LIMIT_'))
    .map((name) => [name, '0']),
);

/** A whole environment for a server on the test database. */
export function testEnvironment(changes: Record<string, string> = {}): Record<string, string> {
  return {
    DATABASE_URL: testDatabaseUrl(),
    MASTER_KEY: testMasterKey(),
    PLATFORM_TOKEN: TEST_PLATFORM_TOKEN,
    PORT: '0',
    LOG_LEVEL: 'debug',
    ...unlimited,
    ...changes,
  };
}

function fromSetUp(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set: the global set-up did not run`);
  return value;
}
