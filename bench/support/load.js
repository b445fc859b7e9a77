import autocannon from 'autocannon';

const EXPECTED = '"valid":true';
const EXAMPLES = 3;

/**
 * Ask the target about random licenses for some seconds, each connection one question at a time. Every answer is read:
 * one that is not `"valid":true` counts as a failure, so nothing is fast by being wrong.
 */
export async function measure(target, licenses, { connections, seconds }) {
  const cpuBefore = target.cpuSeconds();
  const latencies = [];
  const wrong = [];
  const startedAt = performance.now();
  let endedAt = startedAt;
  const run = autocannon({
    url: target.url,
    method: 'POST',
    connections,
    duration: seconds,
    // How often autocannon looks whether the time is over.
    sampleInt: 100,
    headers: { 'content-type': 'application/json' },
    requests: [{ setupRequest: (request) => ({ ...request, body: JSON.stringify(questionAbout(anyOf(licenses))) }) }],
    verifyBody: (body) => body.includes(EXPECTED),
  });
  // autocannon's own histogram knows whole milliseconds, which is too coarse for the faster baselines.
  run.on('response', (_client, _status, _bytes, milliseconds) => {
    latencies.push(milliseconds);
    endedAt = performance.now();
  });
  run.on('reqMismatch', (body) => {
    if (wrong.length < EXAMPLES) wrong.push(body);
  });
  const { errors, mismatches, non2xx } = await run;
  const cpuAfter = target.cpuSeconds();
  const sorted = Float64Array.from(latencies).sort();
  return {
    requestsPerSecond: latencies.length / ((endedAt - startedAt) / 1000),
    p50: percentile(sorted, 0.5),
    p99: percentile(sorted, 0.99),
    serverCpu: cpuOfRequest(cpuBefore.server, cpuAfter.server, latencies.length),
    databaseCpu: cpuOfRequest(cpuBefore.database, cpuAfter.database, latencies.length),
    requests: latencies.length,
    failures: errors + Math.max(mismatches, non2xx),
    examples: wrong,
  };
}

/** One answer, outside of any measurement. */
export async function ask(url, license) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(questionAbout(license)),
  });
  const text = await response.text();
  if (response.status !== 200 || !text.includes(EXPECTED)) throw new Error(`${url} answered ${response.status}: ${text}`);
  return text;
}

/** What an application sends: its key, and the machine that it runs on. */
function questionAbout({ key, fingerprints }) {
  return { key, fingerprint: anyOf(fingerprints) };
}

function anyOf(list) {
  return list[Math.floor(Math.random() * list.length)];
}

/** Milliseconds, or NaN where the system does not tell. */
function cpuOfRequest(before, after, requests) {
  return before === null || after === null ? NaN : ((after - before) / requests) * 1000;
}

function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}
