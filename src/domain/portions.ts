/** Something of a license. */
export interface OfLicense {
  environmentId: string;
  licenseId: string;
}

/**
 * All of them in portions of up to `size`: those of an environment together, and in there those of a license. What is done
 * once for each license of a portion is then done as seldom as can be.
 */
export function portionsOf<T extends OfLicense>(all: readonly T[], size: number): T[][] {
  const sorted = [...all].sort((one, other) => compare(one.environmentId, other.environmentId) || compare(one.licenseId, other.licenseId));
  return Array.from({ length: Math.ceil(sorted.length / size) }, (_, index) => sorted.slice(index * size, (index + 1) * size));
}

function compare(one: string, other: string): number {
  return one < other ? -1 : Number(one > other);
}

/** How many of the first make no more than `limit` together; one at least, where there is any, so that it goes on. */
export function prefixWithin(limit: number, sizes: readonly number[]): number {
  let sum = 0;
  const end = sizes.findIndex((size) => (sum += size) > limit);
  return end === -1 ? sizes.length : Math.max(1, end);
}
