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
import { LatchkeyError } from '../domain/errors.js';

/** The part of what is sealed that names the key which it was sealed under. */
export const SEALED_KEY_ID_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** What each kept secret is derived for (HKDF's info), when it is made. */
const KEPT_USES = {
  licenseKeyTag: 'license key tag',
  apiKeyPepper: 'api key pepper',
  licenseKeyPepper: 'license key pepper',
  idempotencyPepper: 'idempotency pepper',
  root: 'kept secrets',
} as const;

/**
 * What stays when the master key is another, because what was made with it can never be made again: digests of keys whose
 * text nobody has, tags that are printed on customers' keys (docs/decisions/0019-master-key.md). 32 bytes each.
 */
export type KeptSecrets = Record<keyof typeof KEPT_USES, Buffer> & {
  /** Names them; stored beside each digest. */
  pepperId: string;
};

/** What is derived from one master key. */
interface DerivedKey {
  id: string;
  sealingKey: Buffer;
  accessTokenKey: { id: string; privateKey: KeyObject; publicKey: KeyObject };
  kept: KeptSecrets;
}

/**
 * Everything derived from the master key: peppers for digests, the tag of license keys, encryption at rest. Each use
 * has its own key (HKDF-SHA-256, RFC 5869), so that none can stand in for another. What a rotation keeps comes from the
 * database once that is open (`prepareDatabase`), and only there from the master key that it began with.
 */
export class MasterKey {
  /** Names the key that seals without revealing it: 16 hexadecimal digits. */
  readonly id: string;
  /** Names the secrets that digests are made with; stored beside each, and the same after a rotation. */
  readonly pepperId: string;
  /** For `generateLicenseKey` and `parseLicenseKey`. */
  readonly licenseKeyTagSecret: KeyObject;
  /** Signs access tokens; derived, so that every instance has it and none has to store it. */
  readonly accessTokenKey: DerivedKey['accessTokenKey'];
  private readonly current: DerivedKey;
  /** All that can open, by id; the one that seals comes first. */
  private readonly keys: ReadonlyMap<string, DerivedKey>;
  private readonly kept: KeptSecrets;
  private readonly apiKeyPepper: KeyObject;
  private readonly licenseKeyPepper: KeyObject;
  private readonly offlineKeyPepper: KeyObject;
  private readonly idempotencyPepper: KeyObject;

  /**
   * `master` seals; what was sealed under one of `readable` opens too. `kept` comes from the database: absent = its own.
   * `names` are what an operator knows the keys by, the one that seals first: a setting or a file.
   */
  constructor(
    private readonly master: Buffer,
    private readonly more: { readable?: readonly Buffer[]; kept?: KeptSecrets; names?: readonly string[] } = {},
  ) {
    this.current = derivedFrom(master);
    this.keys = new Map([this.current, ...(more.readable ?? []).map(derivedFrom)].map((key) => [key.id, key]));
    this.id = this.current.id;
    this.accessTokenKey = this.current.accessTokenKey;
    this.kept = more.kept ?? this.current.kept;
    this.pepperId = this.kept.pepperId;
    // Key objects: from bytes, every HMAC would import its key anew, at five times its own cost.
    this.licenseKeyTagSecret = createSecretKey(this.kept.licenseKeyTag);
    this.apiKeyPepper = createSecretKey(this.kept.apiKeyPepper);
    this.licenseKeyPepper = createSecretKey(this.kept.licenseKeyPepper);
    this.idempotencyPepper = createSecretKey(this.kept.idempotencyPepper);
    this.offlineKeyPepper = this.keptSecret('offline key pepper');
  }

  /** Of all keys that can open; the one that seals comes first. */
  get ids(): string[] {
    return [...this.keys.keys()];
  }

  /** What an operator knows the key by: the setting or file that it comes from. */
  nameOf(id: string): string {
    const index = [this.master, ...(this.more.readable ?? [])].findIndex((key) => derivedFrom(key).id === id);
    return this.more.names?.[index] ?? (index === 0 ? 'MASTER_KEY' : 'MASTER_KEYS_READABLE');
  }

  /** What verifies an access token that was signed with one of the keys; null for any other `kid`. */
  accessTokenVerifier(kid: string | undefined): KeyObject | null {
    return [...this.keys.values()].find(({ accessTokenKey }) => accessTokenKey.id === kid)?.accessTokenKey.publicKey ?? null;
  }

  /**
   * A secret for one use that no rotation changes, for digests that can never be made again: derived from what is kept, so
   * that a new use needs nothing to be stored. Make it once, not at each use.
   */
  keptSecret(use: string): KeyObject {
    return createSecretKey(derive(this.kept.root, use));
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

  /**
   * AES-256-GCM: 8 bytes that name the key, 12 bytes nonce, 16 bytes tag, cipher text. `context` binds it to its row and is
   * needed to open it.
   */
  seal(plain: string, context: string): Uint8Array<ArrayBuffer> {
    return sealUnder(this.current, plain, context);
  }

  /**
   * Whichever of the keys it was sealed under; GCM tells whether one was.
   * @throws 503 UNAVAILABLE when it names a key that is not one of these: another server may have that
   * @throws when the bytes were sealed under one of the keys, and not with this context or not like this
   */
  open(sealed: Uint8Array, context: string): string {
    const bytes = Buffer.from(sealed);
    const named = this.keys.get(bytes.subarray(0, SEALED_KEY_ID_BYTES).toString('hex'));
    const plain = named === undefined ? null : openWith(named, bytes.subarray(SEALED_KEY_ID_BYTES), context);
    if (plain !== null) return plain;
    // As it was sealed when there was only one key, which nothing had to name.
    for (const key of this.keys.values()) {
      const older = openWith(key, bytes, context);
      if (older !== null) return older;
    }
    const isWhole = bytes.length >= SEALED_KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES;
    if (named !== undefined || !isWhole) throw new Error('This was sealed for another row, or was changed.');
    throw notConfigured(bytes.subarray(0, SEALED_KEY_ID_BYTES).toString('hex'));
  }

  /** What is kept, sealed under one of the keys: what `withKept` takes. */
  wrapKept(id = this.id): Uint8Array<ArrayBuffer> {
    const key = this.keys.get(id);
    if (key === undefined) throw new Error(`There is no key ${id}.`);
    const { pepperId, ...secrets } = this.kept;
    const encoded = Object.entries(secrets).map(([name, secret]) => [name, secret.toString('base64')]);
    return sealUnder(key, JSON.stringify({ pepperId, ...Object.fromEntries(encoded) }), ringContext(id));
  }

  /** The same keys with what was wrapped under the key `id`, which must be one of them. */
  withKept(id: string, wrapped: Uint8Array): MasterKey {
    const { pepperId = '', ...encoded } = JSON.parse(this.open(wrapped, ringContext(id))) as Partial<Record<string, string>>;
    const secrets = Object.keys(KEPT_USES).map((name) => [name, Buffer.from(encoded[name] ?? '', 'base64')] as const);
    if (secrets.some(([, secret]) => secret.length !== 32)) throw new Error('What the key ring keeps is not what this version knows.');
    return new MasterKey(this.master, { ...this.more, kept: { pepperId, ...Object.fromEntries(secrets) } as KeptSecrets });
  }

  /** For a database of the time before there was a key ring: each of the keys, and what it would have made digests with. */
  beforeKeyRing(): { id: string; pepperId: string; masterKey: MasterKey }[] {
    return [...this.keys.values()].map(({ id, kept }) => {
      return { id, pepperId: kept.pepperId, masterKey: new MasterKey(this.master, { ...this.more, kept }) };
    });
  }
}

function derive(secret: Buffer, use: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', `latchkey ${use}`, 32));
}

function derivedFrom(master: Buffer): DerivedKey {
  const name = createHash('sha256').update(derive(master, 'key id')).digest('hex');
  const secrets = Object.entries(KEPT_USES).map(([secret, use]) => [secret, derive(master, use)]);
  return {
    id: name.slice(0, 2 * SEALED_KEY_ID_BYTES),
    sealingKey: derive(master, 'sealing'),
    accessTokenKey: signingKey(derive(master, 'access token signing')),
    kept: { pepperId: name.slice(0, 8), ...Object.fromEntries(secrets) } as KeptSecrets,
  };
}

function sealUnder({ id, sealingKey }: DerivedKey, plain: string, context: string): Uint8Array<ArrayBuffer> {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', sealingKey, nonce).setAAD(Buffer.from(context));
  const sealed = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()]);
  return new Uint8Array(Buffer.concat([Buffer.from(id, 'hex'), nonce, cipher.getAuthTag(), sealed]));
}

/** `bytes` from the nonce on; null when it was not this key, or not this context. */
function openWith({ sealingKey }: DerivedKey, bytes: Buffer, context: string): string | null {
  if (bytes.length < NONCE_BYTES + TAG_BYTES) return null;
  const decipher = createDecipheriv('aes-256-gcm', sealingKey, bytes.subarray(0, NONCE_BYTES)).setAAD(Buffer.from(context));
  decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  const plain = decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES));
  try {
    return Buffer.concat([plain, decipher.final()]).toString('utf8');
  } catch {
    return null;
  }
}

/** The caller learns that it is worth another try, the log what is to be done. */
function notConfigured(id: string): LatchkeyError {
  const error = new LatchkeyError('UNAVAILABLE', 'This server lacks a key that it needs for this. Try again shortly.');
  error.cause = new Error(
    `Something is sealed under the master key ${id}, which is not configured here. If it is the new one of a rotation, make it MASTER_KEY and restart this server; if it is an old one, add it to MASTER_KEYS_READABLE, restart, and run "latchkey master-key rotate". "latchkey master-key status" tells which keys there are.`,
  );
  return error;
}

function ringContext(id: string): string {
  return `key-ring:${id}`;
}

/** What stands before the 32 bytes of an Ed25519 private key in PKCS #8 (RFC 8410, section 7). */
const ED25519_PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

function signingKey(seed: Buffer): DerivedKey['accessTokenKey'] {
  const privateKey = createPrivateKey({ key: Buffer.concat([ED25519_PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
  const publicKey = createPublicKey(privateKey);
  const id = createHash('sha256')
    .update(publicKey.export({ format: 'der', type: 'spki' }))
    .digest('hex')
    .slice(0, 16);
  return { id, privateKey, publicKey };
}

function hmac(pepper: KeyObject, text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHmac('sha256', pepper).update(text).digest());
}
