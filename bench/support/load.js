import { setTimeout as wait } from 'node:timers/promises';
import { askOver } from './connection.js';
import { anyOf } from './random.js';

const VALIDATE_KEY = '/api/v1/licenses/validate-key';
const JSON_BODY = { 'content-type': 'application/json' };
const EXAMPLES = 3;

/**
 * A question is what a connection asks again and again: `next()` makes the path, headers and body of one request; its
 * answer must have this `status` and contain `expected`.
 */
export function validationOf(licenses) {
  const next = () => ({ path: VALIDATE_KEY, headers: JSON_BODY, body: JSON.stringify(questionAbout(anyOf(licenses))) });
  return { status: 200, expected: '"valid":true', next };
}

/** Ask the target for some seconds; what it did, and what it cost: the target, the database, and asking itself. */
export async function measure(target, question, { connections, seconds }) {
  const cpuBefore = target.cpuSeconds();
  const ownBefore = process.cpuUsage();
  const load = await drive(target, question, { connections, seconds });
  const own = process.cpuUsage(ownBefore);
  const cpuAfter = target.cpuSeconds();
  const requests = load.answers.length;
  return {
    requestsPerSecond: requests / load.seconds,
    ...percentilesOf(load.answers.map(({ took }) => took)),
    serverCpu: cpuOfRequest(cpuBefore.server, cpuAfter.server, requests),
    databaseCpu: cpuOfRequest(cpuBefore.database, cpuAfter.database, requests),
    loadCpu: (own.user + own.system) / 1000 / requests,
    requests,
    failures: load.failures,
    examples: load.examples,
  };
}

/**
 * Each connection asks one question at a time, for some seconds or until the promise `until`. Every answer is read: one
 * that is not what the question expects counts as a failure, so nothing is fast by being wrong. What was asked last is
 * waited for, and counts.
 * @returns each answer with the time it came and how long it took, in milliseconds
 */
export async function drive(target, { status, expected, next }, { connections, seconds, until = wait(seconds * 1000) }) {
  const address = new URL(target.url);
  const answers = [];
  const examples = [];
  let failures = 0;
  let isOver = false;
  const onFailure = (what) => {
    failures += 1;
    if (examples.length < EXAMPLES) examples.push(what);
  };
  const onAnswer = (answered, body, took) => {
    answers.push({ at: performance.now(), took });
    if (answered !== status || !body.includes(expected)) onFailure(`${answered} ${body}`);
  };
  const startedAt = performance.now();
  const asking = Array.from({ length: connections }, () => askOver(address, next, { isOver: () => isOver, onAnswer, onFailure }));
  await until;
  isOver = true;
  await Promise.all(asking);
  const endedAt = answers.at(-1)?.at ?? startedAt;
  return { answers, seconds: (endedAt - startedAt) / 1000, failures, examples };
}

/** One answer, outside of any measurement. */
export async function ask(url, license) {
  const response = await fetch(url, { method: 'POST', headers: JSON_BODY, body: JSON.stringify(questionAbout(license)) });
  const text = await response.text();
  if (response.status !== 200 || !text.includes('"valid":true')) throw new Error(`${url} answered ${response.status}: ${text}`);
  return text;
}

/** Milliseconds. */
export function percentilesOf(times) {
  const sorted = Float64Array.from(times).sort();
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99) };
}

/** What an application sends: its key, and the machine that it runs on. */
function questionAbout({ key, fingerprints }) {
  return { key, fingerprint: anyOf(fingerprints) };
}

/** Milliseconds, or NaN where the system does not tell. */
export function cpuOfRequest(before, after, requests) {
  return before === null || after === null ? NaN : ((after - before) / requests) * 1000;
}

function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN;
}
