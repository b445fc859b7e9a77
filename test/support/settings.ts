export const TEST_PLATFORM_TOKEN = fromSetUp('PLATFORM_TOKEN');

/** The database of this run, as its superuser: servers switch to roles of their own, tests may look behind the scenes. */
export const testDatabaseUrl = (): string => fromSetUp('DATABASE_URL');

/** Shared by every server of a run, so that they know each other's keys. */
export const testMasterKey = (): string => fromSetUp('MASTER_KEY');

/** A whole environment for a server on the test database. */
export function testEnvironment(changes: Record<string, string> = {}): Record<string, string> {
  return { ...setUp(), ...changes };
}

/** No rate limits: tests ask as often as they like. */
export const unlimited = (): Record<string, string> =>
  Object.fromEntries(Object.entries(setUp()).filter(([name]) => name.startsWith('LIMIT_')));

function fromSetUp(name: string): string {
  const value = setUp()[name];
  if (value === undefined) throw new Error(`${name} is not set: the global set-up did not run`);
  return value;
}

/** As the global set-up made it. */
function setUp(): Record<string, string> {
  return JSON.parse(process.env.TEST_ENVIRONMENT ?? '{}') as Record<string, string>;
}
