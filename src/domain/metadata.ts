/** Free data of the vendor's: flat, small, and storable (contract: http.md, "Every resource"). */
export type Metadata = Record<string, string | number | boolean | null>;

const MAX_KEYS = 50;
const MAX_KEY_LENGTH = 64;
const MAX_BYTES = 16 * 1024;

/** Why the value is no metadata, or null when it is. */
export function metadataProblem(value: unknown): string | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'must be an object';
  const entries = Object.entries(value);
  if (entries.length > MAX_KEYS) return `must have at most ${String(MAX_KEYS)} keys`;
  for (const [key, item] of entries) {
    if (key.length === 0 || key.length > MAX_KEY_LENGTH) return `keys must have 1 to ${String(MAX_KEY_LENGTH)} characters`;
    if (item !== null && !['string', 'number', 'boolean'].includes(typeof item)) {
      return `values must be strings, numbers, booleans or null (${key} is not)`;
    }
    // 1e999 is read as infinity, which JSON cannot say: it would be stored as null.
    if (typeof item === 'number' && !Number.isFinite(item)) return `numbers must be finite (${key} is not)`;
  }
  return Buffer.byteLength(JSON.stringify(value)) > MAX_BYTES ? `must be at most ${String(MAX_BYTES / 1024)} KiB as JSON` : null;
}
