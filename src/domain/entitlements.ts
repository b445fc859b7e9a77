/** What a license entitles to: its policy's entitlements and its own (contract: resources.md, "Entitlements"). */

export interface Entitlement {
  code: string;
  /** Null = as long as the license. Inherited entitlements never expire by themselves. */
  expiresAt: Date | null;
  /** How many, where the vendor counts; null = not counted. */
  quantity: number | null;
}

/** The entitlements in force at `now`, by code. A license's own wins over an inherited one while it lasts. */
export function entitlementsInForce(inherited: readonly string[], own: readonly Entitlement[], now: Date): Entitlement[] {
  const byCode = new Map<string, Entitlement>(inherited.map((code) => [code, { code, expiresAt: null, quantity: null }]));
  for (const entitlement of own) {
    if (entitlement.expiresAt === null || now < entitlement.expiresAt) byCode.set(entitlement.code, entitlement);
  }
  return [...byCode.values()].sort((a, b) => (a.code < b.code ? -1 : 1));
}

/** An entitlement of a policy, or one of a license's own with its terms. */
export type Attachment = Pick<Entitlement, 'code'> & Partial<Entitlement>;

/** What came and what went between two states. One with other terms went and came: attaching again sets it anew. */
export function attachmentChanges(
  before: readonly Attachment[],
  after: readonly Attachment[],
): { detached: Attachment[]; attached: Attachment[] } {
  const lacks = (others: readonly Attachment[]) => (one: Attachment) => !others.some((other) => isSame(one, other));
  return { detached: before.filter(lacks(after)), attached: after.filter(lacks(before)) };
}

function isSame(a: Attachment, b: Attachment): boolean {
  return a.code === b.code && a.quantity === b.quantity && a.expiresAt?.getTime() === b.expiresAt?.getTime();
}
