import { boot } from './boot.js';
import type { Config } from './core/config.js';
import { operatorProblems, readConfig } from './core/open-database.js';
import { seedDemo } from './demo.js';

/** `npm start`. */

const STOP_TIMEOUT_MS = 9_500;

async function main(): Promise<void> {
  const config = readConfig();
  const booting = boot(config);
  // From the beginning: a signal during the boot waits for its end and stops what it started.
  const isStopping = stopOnSignal(async () => (await booting).stop());
  const running = await booting;
  if (isStopping()) return;
  try {
    const demo = running.embedded && config.seedDemo ? await seedDemo(running) : '';
    process.stdout.write(`Latchkey is ready at ${running.url} (${whatFor(config.role, running.url)})\n${demo}`);
  } catch (error) {
    // Stopped in the middle of the seed: that is no failure, and the stop is on its way.
    if (isStopping()) return;
    await running.stop();
    throw error;
  }
}

/** What to go on with, and what another process must do. */
function whatFor(role: Config['role'], url: string): string {
  if (role === 'worker') return `a worker, without the API; health: ${url}/health/ready`;
  const reference = `reference: ${url}/docs`;
  return role === 'api' ? `${reference}; without workers: they run with ROLE=worker, on the same database` : reference;
}

/** Exit 0 within ten seconds, whatever hangs; a second signal does not wait. Answers whether a first one came. */
function stopOnSignal(stop: () => Promise<void>): () => boolean {
  let stopping = false;
  const onSignal = (): void => {
    if (stopping) process.exit(1);
    stopping = true;
    setTimeout(() => process.exit(0), STOP_TIMEOUT_MS).unref();
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        process.stderr.write(`Latchkey did not stop cleanly: ${String(error)}\n`);
        process.exit(1);
      },
    );
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return () => stopping;
}

/** Conditions that the operator can mend are told in words; a fault keeps its stack. */
function explain(error: unknown): string {
  const problems = operatorProblems(error);
  if (problems !== null) return `Latchkey cannot start:\n${problems.map((problem) => `  ${problem}`).join('\n')}`;
  if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') return 'Latchkey cannot start: the port is in use. Set PORT to another one.';
  return `Latchkey cannot start: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
}

main().catch((error: unknown) => {
  process.stderr.write(`${explain(error)}\n`);
  process.exit(1);
});
