import { Cleanup } from './cleanup.js';

/** Run a bench and undo what it set up, however it ends; answers the exit code. `bench` answers what is wrong with the outcome. */
export async function run(bench) {
  const cleanup = new Cleanup();
  cleanup.onSignals();
  try {
    const problems = await bench(cleanup);
    for (const problem of problems) process.stderr.write(`FAILED: ${problem}\n`);
    return problems.length === 0 ? 0 : 1;
  } catch (error) {
    // What breaks after a signal breaks because of it.
    if (!cleanup.interrupted) process.stderr.write(`FAILED: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return cleanup.interrupted ? 130 : 1;
  } finally {
    await cleanup.run();
  }
}
