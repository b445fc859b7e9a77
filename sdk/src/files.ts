import { compactDecrypt } from 'jose';
import { type Binding, type Proof, verifyDocument } from './documents.js';
import { fromBase64, isCompact } from './encoding.js';
import { ProofError } from './errors.js';
import { type Jwks, PublicKeys } from './keys.js';
import { encryptionKey } from './license-key.js';

const ARMOUR = /^[ \t\r\n]*-----BEGIN LATCHKEY (LICENSE|MACHINE)-----\r?\n((?:[A-Za-z0-9+/=]+\r?\n)+)-----END LATCHKEY \1-----[ \t\r\n]*$/;
/** No file is nearly as long; what is longer is not read. */
const MAX_LENGTH = 1_000_000;

/** What a file is opened and checked with. */
export interface FileBinding extends Omit<Binding, 'fingerprint'> {
  /** Of this machine. */
  fingerprint?: string | null;
  /** As the customer typed it: needed for encrypted files. */
  licenseKey?: string;
}

/** The compact text inside of a `.lic` file's armour, and the kind that it is said to be; without armour the text is taken to be it. */
function readArmour(text: string): { compact: string; label: string | null } {
  if (text.length > MAX_LENGTH) throw new ProofError('malformed', 'It is too long for a license file.');
  if (!text.includes('-----')) return { compact: text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, ''), label: null };
  const [, label, lines] = ARMOUR.exec(text) ?? [];
  const compact = lines === undefined ? null : fromBase64(lines.replace(/\r?\n/g, ''));
  if (label === undefined || compact === null) throw new ProofError('malformed', 'It is no license file, or a part of it is damaged.');
  return { compact, label: label.toLowerCase() };
}

/** Opens and checks a file with keys already read: everything but times. */
export async function openFile(text: string, keys: PublicKeys, binding: FileBinding): Promise<Proof<'license' | 'machine'>> {
  const { compact, label } = readArmour(text);
  const { jws, kind } = compact.split('.').length === 5 ? await decrypt(compact, binding) : { jws: compact, kind: label };
  const proof = await verifyDocument(jws, ['license', 'machine'], keys, { ...binding, fingerprint: binding.fingerprint ?? null });
  const isKind = (said: string | null): boolean => said === null || said === proof.kind;
  if (!isKind(label) || !isKind(kind)) throw new ProofError('wrong_type', 'It is not of the kind that it is said to be.');
  // Kept as it came: an encrypted file stays encrypted in the store.
  return { ...proof, text: compact };
}

/** Compact JWE, `dir`, A256GCM (RFC 7516). Which key opens it says what it is: a machine's takes the fingerprint too. */
async function decrypt(jwe: string, { licenseKey, fingerprint = null }: FileBinding): Promise<{ jws: string; kind: string }> {
  if (!isCompact(jwe, 5)) throw new ProofError('malformed', 'It is no license file, or a part of it is damaged.');
  if (licenseKey === undefined) throw new ProofError('cannot_decrypt', 'The file is encrypted, and no license key was given.');
  const options = { keyManagementAlgorithms: ['dir'], contentEncryptionAlgorithms: ['A256GCM'] };
  for (const suffix of fingerprint === null ? [null] : [fingerprint, null]) {
    try {
      const { plaintext } = await compactDecrypt(jwe, await encryptionKey(licenseKey, suffix), options);
      return { jws: new TextDecoder().decode(plaintext), kind: suffix === null ? 'license' : 'machine' };
    } catch {
      // It may be of the other kind.
    }
  }
  throw new ProofError('cannot_decrypt', 'The file is encrypted for another license key or another machine, or is damaged.');
}

/** What to check a file against, without a client. */
export interface VerifyFileOptions extends FileBinding {
  /** The public keys of the account's environment. */
  keys: Jwks;
  /** Milliseconds since 1970; default: now. */
  now?: number;
}

/**
 * Checks a `.lic` file, or the compact text of one, by itself: signature, kind, account, environment, fingerprint, expiry.
 * Without `fingerprint` a machine's file is refused. Fails with a ProofError.
 */
export async function verifyFile(text: string, options: VerifyFileOptions): Promise<Proof<'license' | 'machine'>> {
  const { keys, now = Date.now(), ...binding } = options;
  const proof = await openFile(text, await PublicKeys.of(keys), binding);
  if (now >= proof.claims.exp * 1000) throw new ProofError('expired', 'The file has expired.');
  return proof;
}
