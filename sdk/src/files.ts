import { compactDecrypt } from 'jose';
import { type Binding, type Proof, verifyDocument } from './documents.js';
import { fromBase64 } from './encoding.js';
import { ProofError } from './errors.js';
import { type Jwks, PublicKeys } from './keys.js';
import { encryptionKey } from './license-key.js';

const ARMOUR = /^\s*-----BEGIN LATCHKEY (LICENSE|MACHINE)-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END LATCHKEY \1-----\s*$/;
/** No file is nearly as long; what is longer is not read. */
const MAX_LENGTH = 1_000_000;

/** What a file is opened and checked with. */
export interface FileBinding extends Binding {
  /** As the customer typed it: needed for encrypted files. */
  licenseKey?: string;
}

/** The compact text inside of a `.lic` file's armour; a text without armour is taken to be it. */
export function readArmour(text: string): string {
  if (text.length > MAX_LENGTH) throw new ProofError('malformed', 'It is too long for a license file.');
  if (!text.includes('-----')) return text.trim();
  const base64 = ARMOUR.exec(text)?.[2];
  if (base64 === undefined) throw new ProofError('malformed', 'It is no license file, or a part of it is missing.');
  try {
    return fromBase64(base64.replace(/\s/g, ''));
  } catch (cause) {
    throw new ProofError('malformed', 'The license file is damaged.', { cause });
  }
}

/** Opens and checks a file with keys already read: everything but times. */
export async function openFile(text: string, keys: PublicKeys, binding: FileBinding): Promise<Proof<'license' | 'machine'>> {
  const compact = readArmour(text);
  const jws = compact.split('.').length === 5 ? await decrypt(compact, binding) : compact;
  const proof = await verifyDocument(jws, ['license', 'machine'], keys, binding);
  if (proof.kind === 'machine' && binding.fingerprint === null) {
    throw new ProofError('wrong_fingerprint', 'It is for one machine, and this copy has no fingerprint.');
  }
  // Kept as it came: an encrypted file stays encrypted in the store.
  return { ...proof, text: compact };
}

/** Compact JWE, `dir`, A256GCM (RFC 7516): a machine's file is opened with its fingerprint too. */
async function decrypt(jwe: string, { licenseKey, fingerprint }: FileBinding): Promise<string> {
  if (licenseKey === undefined) throw new ProofError('cannot_decrypt', 'The file is encrypted, and no license key was given.');
  const options = { keyManagementAlgorithms: ['dir'], contentEncryptionAlgorithms: ['A256GCM'] };
  for (const suffix of [fingerprint ?? null, null]) {
    try {
      const { plaintext } = await compactDecrypt(jwe, await encryptionKey(licenseKey, suffix), options);
      return new TextDecoder().decode(plaintext);
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
 * Leaving `fingerprint` out means that a machine's file is not bound to this machine. Fails with a ProofError.
 */
export async function verifyFile(text: string, options: VerifyFileOptions): Promise<Proof<'license' | 'machine'>> {
  const { keys, now = Date.now(), ...binding } = options;
  const proof = await openFile(text, await PublicKeys.of(keys), binding);
  if (now >= proof.claims.exp * 1000) throw new ProofError('expired', 'The file has expired.');
  return proof;
}
