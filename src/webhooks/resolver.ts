import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** All addresses of a name; empty or rejected = it has none, or nobody knows. */
export type ResolveName = (name: string) => Promise<string[]>;

const QUERY_TIMEOUT_MS = 1000;
const TRIES = 3;

/**
 * The hosts file, then DNS, IPv4 first. Not `dns.lookup`, which has two threads for the whole process: the names of two
 * vendors whose name servers never answer would hold up everyone's deliveries. These queries wait for nobody.
 */
export async function resolveName(name: string): Promise<string[]> {
  const listed = addressesIn(await hostsFile(), name);
  if (listed.length > 0) return listed;
  const resolver = new Resolver({ timeout: QUERY_TIMEOUT_MS, tries: TRIES });
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  return answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
}

async function hostsFile(): Promise<string> {
  const path = process.platform === 'win32' ? join(process.env.SystemRoot ?? 'C:\\Windows', 'System32/drivers/etc/hosts') : '/etc/hosts';
  return readFile(path, 'utf8').catch(() => '');
}

/** What a hosts file says of a name: lines of an address and its names, `#` begins a comment (hosts(5)). */
export function addressesIn(hosts: string, name: string): string[] {
  return hosts.split('\n').flatMap((line) => {
    const [address, ...names] = line.replace(/#.*/, '').trim().toLowerCase().split(/\s+/);
    return address !== undefined && names.includes(name.toLowerCase()) ? [address] : [];
  });
}
