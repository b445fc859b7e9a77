import { type Change, recordChanges, withoutSecrets } from '../core/audit.js';
import type { Db } from '../core/database.js';
import { type Attachment, attachmentChanges } from '../domain/entitlements.js';
import { notFound } from '../domain/errors.js';

/**
 * Ids of the living entitlements with these codes, in their order.
 * @throws 404 naming the first code that is unknown, as `<field>[index]`
 */
export async function entitlementIds(db: Db, codes: readonly string[], field: string): Promise<string[]> {
  const idByCode = await entitlementIdsByCode(db, codes);
  return codes.map((code, index) => {
    const id = idByCode.get(code);
    if (id === undefined) throw notFound('entitlement', `${field}[${String(index)}]`);
    return id;
  });
}

/** Held until the end of the work: one that is being deleted is attached to nothing more. What is not in it is unknown. */
export async function entitlementIdsByCode(db: Db, codes: readonly string[]): Promise<Map<string, string>> {
  const found = await db.$queryRaw<{ id: string; code: string }[]>`
    SELECT id, code FROM entitlement WHERE code = ANY(${[...codes]}) AND deleted_at IS NULL ORDER BY id FOR KEY SHARE`;
  return new Map(found.map(({ id, code }) => [code, id]));
}

/** A record for each entitlement that a policy or license, the resource, has got or lost; `object` is its view. */
export function recordAttachments(
  db: Db,
  about: Pick<Change, 'resource' | 'object' | 'occurredAt'>,
  before: readonly Attachment[],
  after: readonly Attachment[],
): Promise<void> {
  const { detached, attached } = attachmentChanges(before, after);
  return recordChanges(db, [
    ...detached.map((attachment) => ({ ...about, action: 'entitlement.detached', before: attachment, beside: toldOf(attachment) })),
    ...attached.map((attachment) => ({ ...about, action: 'entitlement.attached', after: attachment, beside: toldOf(attachment) })),
  ]);
}

/** The event's object is who has it; what it is stands beside that, with its code. */
export function toldOf(attachment: Attachment): Change['beside'] {
  return { entitlement: withoutSecrets(attachment) };
}
