import { setTimeout as wait } from 'node:timers/promises';
import { cpuOfRequest, measure } from './load.js';

/** Between measurements, so that none pays for what the one before left behind. */
const SETTLE_MS = 250;

/** Who is asked over HTTP. */
export function asked(target, question) {
  return { name: target.name, target, run: (load) => measure(target, question, load) };
}

/** Who runs its statement by itself (bench/support/machine-baselines.js). */
export function alone(target) {
  const run = async ({ connections, seconds }) => {
    const before = target.cpuSeconds();
    const reply = await fetch(new URL(`/alone/${connections}/${seconds}`, target.url), { method: 'POST' });
    const figures = await reply.json();
    if (!reply.ok) throw new Error(`${target.name}: ${figures.error}`);
    const after = target.cpuSeconds();
    return {
      ...figures,
      serverCpu: cpuOfRequest(before.server, after.server, figures.requests),
      databaseCpu: cpuOfRequest(before.database, after.database, figures.requests),
      loadCpu: NaN,
      failures: 0,
    };
  };
  return { name: target.name, target, run };
}

/**
 * A warm-up, and then round after round through all contestants, so that a slow minute of the machine hits them all.
 * @returns for each its name and the figures of each round
 */
export async function inTurns(contestants, { connections, seconds, rounds }) {
  const results = contestants.map(({ name }) => ({ name, rounds: [] }));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [index, { name, target, run }] of contestants.entries()) {
      const figures = await run({ connections, seconds });
      if (figures.failures > 0) throw new Error(failureOf(name, target, figures));
      if (round > 0) results[index].rounds.push(figures);
      await wait(SETTLE_MS);
    }
  }
  return results;
}

function failureOf(name, { output }, { failures, requests, examples }) {
  return `${failures} of ${requests} answers of ${name} were wrong, for example:\n${examples.join('\n')}\nIt printed:\n${output}`;
}
