import { execFile } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { access, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
// One class in both entries, so that `instanceof` holds: the build leaves this import as it is.
import { LatchkeyError, type Store } from './index.js';

/** What only Node (and Electron's main process) can do: name the machine, and keep a file. */

export interface FingerprintOptions {
  /** Name of the product: two vendors' apps, or two apps of one, see different fingerprints of one machine. */
  salt: string;
  /** A stable logical id of the caller's own, used in place of the machine's: for containers, or a user's session. */
  id?: string;
}

/** Where the facts are read; tests bring their own. */
export interface Surroundings {
  platform: string;
  env: Readonly<Record<string, string | undefined>>;
  readText: (path: string) => Promise<string>;
  exists: (path: string) => Promise<boolean>;
  run: (file: string, args: readonly string[]) => Promise<string>;
}

const here: Surroundings = {
  platform: process.platform,
  env: process.env,
  readText: (path) => readFile(path, 'utf8'),
  exists: (path) =>
    access(path).then(
      () => true,
      () => false,
    ),
  run: async (file, args) => (await promisify(execFile)(file, [...args], { timeout: 5000, windowsHide: true })).stdout,
};

/**
 * A stable name of this machine: 64 hex digits, HMAC-SHA-256 of the operating system's own id under `salt`, from which
 * the id cannot be read. The id is `LATCHKEY_FINGERPRINT` or `id` where one is given; else /etc/machine-id on Linux,
 * IOPlatformUUID on macOS, MachineGuid on Windows. In a container none of them is stable, or every copy has the same: there
 * one must be given, and without it this fails with a LatchkeyError `no_fingerprint`.
 */
export async function machineFingerprint(options: FingerprintOptions, surroundings: Surroundings = here): Promise<string> {
  // Plain JavaScript may leave it out.
  const { salt, id } = (options as Partial<FingerprintOptions> | null | undefined) ?? {};
  if (typeof salt !== 'string' || salt === '') throw new LatchkeyError('invalid_options', 'salt is missing: give the name of the product.');
  if (id !== undefined && typeof id !== 'string') throw new LatchkeyError('invalid_options', 'id is no text.');
  const given = surroundings.env.LATCHKEY_FINGERPRINT?.trim() || id;
  const machineId = given ?? (await readMachineId(surroundings)).trim().toLowerCase();
  if (machineId === '') throw new LatchkeyError('no_fingerprint', 'This machine has no id: set LATCHKEY_FINGERPRINT, or give an id.');
  return createHmac('sha256', salt).update(machineId).digest('hex');
}

async function readMachineId(surroundings: Surroundings): Promise<string> {
  if (await isContainer(surroundings)) {
    throw new LatchkeyError(
      'no_fingerprint',
      'A container has no id of its own: set LATCHKEY_FINGERPRINT, or give an id, that stays the same.',
    );
  }
  try {
    return await idOf(surroundings);
  } catch (cause) {
    throw new LatchkeyError('no_fingerprint', 'The id of this machine cannot be read: set LATCHKEY_FINGERPRINT, or give an id.', { cause });
  }
}

async function idOf({ platform, env, readText, run }: Surroundings): Promise<string> {
  if (platform === 'darwin') {
    const registry = await run('/usr/sbin/ioreg', ['-rd1', '-c', 'IOPlatformExpertDevice']);
    return /"IOPlatformUUID" = "([^"]+)"/.exec(registry)?.[1] ?? '';
  }
  if (platform === 'win32') {
    const reg = `${env.SystemRoot ?? 'C:\\Windows'}\\System32\\reg.exe`;
    // /reg:64: a 32-bit process would be shown another part of the registry.
    const answer = await run(reg, ['query', 'HKLM\\SOFTWARE\\Microsoft\\Cryptography', '/v', 'MachineGuid', '/reg:64']);
    return /MachineGuid\s+REG_SZ\s+(\S+)/.exec(answer)?.[1] ?? '';
  }
  return readText('/etc/machine-id').catch(() => readText('/var/lib/dbus/machine-id'));
}

/** Docker, Podman, containerd, Kubernetes, LXC, systemd-nspawn: each leaves one of these traces. */
async function isContainer({ platform, env, exists, readText }: Surroundings): Promise<boolean> {
  if (env.KUBERNETES_SERVICE_HOST !== undefined || env.container !== undefined) return true;
  if (platform !== 'linux') return false;
  if ((await exists('/.dockerenv')) || (await exists('/run/.containerenv')) || (await exists('/run/systemd/container'))) return true;
  const groups = await readText('/proc/1/cgroup').catch(() => '');
  return /docker|kubepods|containerd|libpod|lxc|garden/.test(groups);
}

/**
 * A store in one file, readable by its owner alone (mode 0600). It is replaced whole, and what was saved is on the disk:
 * after a crash or a power cut there is the old text or the new one.
 */
export function fileStore(path: string): Store {
  return {
    async load() {
      try {
        return await readFile(path, 'utf8');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw error;
      }
    },
    async save(text) {
      const directory = dirname(path);
      await mkdir(directory, { recursive: true, mode: 0o700 });
      const draft = join(directory, `.${randomUUID()}.tmp`);
      try {
        const file = await open(draft, 'wx', 0o600);
        try {
          await file.writeFile(text);
          await file.sync();
        } finally {
          await file.close();
        }
        await rename(draft, path);
      } catch (error) {
        await rm(draft, { force: true });
        throw error;
      }
    },
  };
}
