/** A server that other tests of the run use too: on the test database, with the settings of `testEnvironment()`. */
export function sharedServer(): { url: string } {
  const urls = JSON.parse(process.env.TEST_SERVER_URLS ?? '[]') as string[];
  // Each of Jest's workers has one of its own; a run in one process is the first.
  const url = urls[(Number(process.env.JEST_WORKER_ID ?? 1) - 1) % urls.length];
  if (url === undefined) throw new Error('TEST_SERVER_URLS is not set: the global set-up did not run');
  return { url };
}
