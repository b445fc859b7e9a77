import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Everything derived from the master key: peppers for digests, the tag of license keys, encryption at rest. Each use
 * has its own key (HKDF-SHA-256, RFC 5869), so that none can stand in for another.
 */
export class MasterKey {
  /** Names the key without revealing it; stored beside what was made with it. */
  readonly id: string;
  /** For `generateLicenseKey` and `parseLicenseKey`. */
  readonly licenseKeyTagSecret: KeyObject;
  /** Signs access tokens; derived, so that every instance has it and none has to store it. */
  readonly accessTokenKey: { id: string; privateKey: KeyObject; publicKey: KeyObject };
  private readonly apiKeyPepper: KeyObject;
  private readonly licenseKeyPepper: KeyObject;
  private readonly offlineKeyPepper: KeyObject;
  private readonly idempotencyPepper: KeyObject;
  private readonly sealingKey: Buffer;

  constructor(master: Buffer) {
    const derive = (use: string): Buffer => Buffer.from(hkdfSync('sha256', master, '', `latchkey ${use}`, 32));
    this.id = createHash('sha256').update(derive('key id')).digest('hex').slice(0, 8);
    // Key objects: from bytes, every HMAC would import its key anew, at five times its own cost.
    this.licenseKeyTagSecret = createSecretKey(derive('license key tag'));
    this.apiKeyPepper = createSecretKey(derive('api key pepper'));
    this.licenseKeyPepper = createSecretKey(derive('license key pepper'));
    this.offlineKeyPepper = createSecretKey(derive('offline key pepper'));
    this.idempotencyPepper = createSecretKey(derive('idempotency pepper'));
    this.sealingKey = derive('sealing');
    this.accessTokenKey = signingKey(derive('access token signing'));
  }

  digestApiKey(key: string): Uint8Array<ArrayBuffer> {
    return hmac(this.apiKeyPepper, key);
  }

  /** `body` is the canonical part of a generated key, which is unique everywhere. */
  digestGeneratedKey(body: string): Uint8Array<ArrayBuffer> {
    return hmac(this.licenseKeyPepper, `generated:${body}`);
  }

  /** The account's id is part of the digest: the same key of another vendor is another digest. */
  digestVendorKey(accountId: string, key: string): Uint8Array<ArrayBuffer> {
    return hmac(this.licenseKeyPepper, `vendor:${accountId}:${key}`);
  }

  /** `keyDigest` is the SHA-256 of a license key as displayed, in lower-case hex: all that a machine without a network shows of it. */
  digestOfflineKey(accountId: string, keyDigest: string): Uint8Array<ArrayBuffer> {
    return hmac(this.offlineKeyPepper, `offline:${accountId}:${keyDigest}`);
  }

  /** What a kept answer is found by: credential, method, path and the caller's key. */
  digestIdempotencyKey(use: string): Uint8Array<ArrayBuffer> {
    return hmac(this.idempotencyPepper, `key:${use}`);
  }

  /** What must be the same again: query and body. Keyed, because bodies may hold what can be guessed. */
  digestIdempotentRequest(request: string): Uint8Array<ArrayBuffer> {
    return hmac(this.idempotencyPepper, `request:${request}`);
  }

  /** AES-256-GCM: 12 bytes nonce, 16 bytes tag, cipher text. `context` binds it to its row and is needed to open it. */
  seal(plain: string, context: string): Uint8Array<ArrayBuffer> {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.sealingKey, nonce).setAAD(Buffer.from(context));
    const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
    return new Uint8Array(Buffer.concat([nonce, cipher.getAuthTag(), sealed]));
  }

  /** @throws when the bytes were not sealed with this key and context */
  open(sealed: Uint8Array, context: string): string {
    const bytes = Buffer.from(sealed);
    const decipher = createDecipheriv('aes-256-gcm', this.sealingKey, bytes.subarray(0, 12)).setAAD(Buffer.from(context));
    decipher.setAuthTag(bytes.subarray(12, 28));
    return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8');
  }
}

/** What stands before the 32 bytes of an Ed25519 private key in PKCS #8 (RFC 8410, section 7). */
const ED25519_PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

function signingKey(seed: Buffer): MasterKey['accessTokenKey'] {
  const privateKey = createPrivateKey({ key: Buffer.concat([ED25519_PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey);
  const id = createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest('hex')
    .slice(0, 16);
  return { id, privateKey, publicKey };
}

/** The embedded set-up's own key: made once in the data directory, readable by its owner only. */
export async function embeddedMasterKey(dataDir: string): Promise<Buffer> {
  const file = join(dataDir, 'master-key');
  await mkdir(dataDir, { recursive: true });
  try {
    await writeFile(file, `${randomBytes(32).toString('base64')}\n`, { flag: 'wx', mode: 0o600 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const key = Buffer.from((await readFile(file, 'utf8')).trim(), 'base64');
  if (key.length !== 32) throw new Error(`${file} does not hold 32 bytes in base64: restore it from a backup.`);
  return key;
}

function hmac(pepper: KeyObject, text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHmac('sha256', pepper).update(text).digest());
}
