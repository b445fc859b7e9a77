import { readFileSync } from 'node:fs';

/** The most memory that the process has had so far, in MB; null where that cannot be read. */
export function peakMemoryMb(pid) {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1]) / 1024;
  } catch {
    return null;
  }
}
