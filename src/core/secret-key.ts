import { generateApiKey, type KeyKind, SHOWN_PREFIX_LENGTH, SHOWN_SUFFIX_LENGTH } from '../domain/api-key.js';
import type { MasterKey } from './master-key.js';

/** A new secret, and the columns that keep all that is kept of it. */
export function newSecretKey(kind: KeyKind, masterKey: MasterKey) {
  const key = generateApiKey(kind);
  const columns = {
    digest: masterKey.digestApiKey(key),
    pepperId: masterKey.pepperId,
    prefix: key.slice(0, SHOWN_PREFIX_LENGTH),
    suffix: key.slice(-SHOWN_SUFFIX_LENGTH),
  };
  return { key, columns };
}
