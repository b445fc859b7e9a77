import { setImmediate as turn } from 'node:timers/promises';
import { Signer } from '../../dist/signing/signer.js';

/**
 * The server, with a clock beside its signer: how long it takes from claims to the signed document, where answers are made,
 * with the processor's caches as the rest of an answer leaves them. Signing is one piece of work on the main thread, so what
 * it takes is what it costs; where the machine did something else meanwhile, the median says so least. On SIGUSR2 it prints
 * what there was since the last time.
 */
const { signWith } = Signer.prototype;
let took = [];
Signer.prototype.signWith = function (...given) {
  const startedAt = performance.now();
  const signed = signWith.apply(this, given);
  took.push((performance.now() - startedAt) * 1000);
  return signed;
};

process.on('SIGUSR2', async () => {
  await turn();
  const sorted = took.sort((left, right) => left - right);
  took = [];
  const at = (share) => sorted[Math.floor(sorted.length * share)] ?? 0;
  process.stdout.write(`signed ${JSON.stringify({ count: sorted.length, p25: at(0.25), median: at(0.5), p75: at(0.75) })}\n`);
});

await import('../../dist/main.js');
