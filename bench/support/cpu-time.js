import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * CPU time of processes, from Linux's /proc; null elsewhere. Unlike a rate it says the same on a busy machine as on an
 * idle one, which is why the table has it.
 */

/** Seconds that the process has used so far. */
export function cpuSecondsOf(pid) {
  const stat = readStat(pid);
  return stat === null ? null : stat.own / ticksPerSecond();
}

/** Seconds that PostgreSQL has used so far, with its backends of now and those that have ended. */
export function databaseCpuSeconds(directory) {
  try {
    const postmaster = Number(readFileSync(join(directory, 'postgres', 'data', 'postmaster.pid'), 'utf8').split('\n')[0]);
    const stats = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((name) => readStat(Number(name)));
    const ticks = stats.map((stat) => (stat?.pid === postmaster ? stat.own + stat.ended : stat?.parent === postmaster ? stat.own : 0));
    return ticks.reduce((sum, own) => sum + own, 0) / ticksPerSecond();
  } catch {
    return null;
  }
}

/** Fields of proc_pid_stat(5), in clock ticks: `own` user and system time, `ended` that of children waited for. */
function readStat(pid) {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command before them is in parentheses and may hold anything.
    const fields = text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .map(Number);
    return { pid, parent: fields[1], own: fields[11] + fields[12], ended: fields[13] + fields[14] };
  } catch {
    return null;
  }
}

let ticks;
function ticksPerSecond() {
  ticks ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return ticks;
}
