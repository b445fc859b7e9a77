/** The measurements as people read them. */

export const say = (text) => process.stdout.write(`${text}\n`);

/** Median of each figure over the rounds, and of the subject's rate divided by this target's in the same round. */
export function summarise(results, subject = results[0]) {
  return results.map(({ name, rounds }) => ({
    name,
    requestsPerSecond: median(rounds.map((round) => round.requestsPerSecond)),
    p50: median(rounds.map((round) => round.p50)),
    p99: median(rounds.map((round) => round.p99)),
    serverCpu: median(rounds.map((round) => round.serverCpu)),
    databaseCpu: median(rounds.map((round) => round.databaseCpu)),
    loadCpu: median(rounds.map((round) => round.loadCpu)),
    // Round by round, because what else the machine does weighs on neighbouring measurements alike.
    ratios: rounds.map((round, index) => subject.rounds[index].requestsPerSecond / round.requestsPerSecond),
  }));
}

/** The table; `summaries` begin with the subject, which is called `subject` here. */
export function tableOf(summaries, subject) {
  const header = ['', 'requests/s', 'p50 ms', 'p99 ms', 'CPU ms/request', '(database)', '(asking)', `${subject} ÷ it`, '(each round)'];
  const lines = summaries.map(({ name, requestsPerSecond, p50, p99, serverCpu, databaseCpu, loadCpu, ratios }, index) => [
    name,
    Math.round(requestsPerSecond).toLocaleString('en'),
    time(p50),
    time(p99),
    figure(serverCpu),
    figure(databaseCpu),
    figure(loadCpu),
    ...(index === 0 ? ['', ''] : [`${median(ratios).toFixed(2)} ×`, ratios.map((ratio) => ratio.toFixed(2)).join('  ')]),
  ]);
  const all = [header, ...lines];
  const widths = header.map((_, column) => Math.max(...all.map((line) => line[column].length)));
  const render = (line) => line.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join('   ');
  return [render(header), widths.map((width) => '─'.repeat(width)).join('───'), ...lines.map(render)].join('\n');
}

/** Milliseconds. */
function time(milliseconds) {
  return milliseconds.toFixed(milliseconds < 10 ? 2 : 1);
}

/** CPU milliseconds; nothing where they could not be measured. */
function figure(milliseconds) {
  return Number.isNaN(milliseconds) ? '' : milliseconds.toFixed(2);
}

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
