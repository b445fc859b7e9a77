/**
 * The one spelling of a JSON value: no spaces, the keys of every object sorted, numbers and texts as ECMAScript writes
 * them (RFC 8785, JSON Canonicalization Scheme). Equal values have equal spellings, whatever a database does to the order
 * of their keys. Fields that are undefined are left out, as JSON does; anything else that JSON cannot say is made JSON of
 * before.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value ?? null);
  const fields = Object.entries(value).filter(([, item]) => item !== undefined);
  fields.sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${fields.map(([name, item]) => `${JSON.stringify(name)}:${canonicalJson(item)}`).join(',')}}`;
}
