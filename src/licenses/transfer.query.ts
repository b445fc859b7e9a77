import type { Db } from '../core/database.js';
import { notFound } from '../domain/errors.js';
import type { Policy } from '../generated/prisma/client.js';

/**
 * The policy that a license moves to, held so that it is not deleted meanwhile, and its product counting the license from
 * now on. Rows are held in the order of creation – products, by id, then the policy – so that nobody waits in a circle.
 * @throws 404 naming `policyId`, also for a policy whose product was deleted
 */
export async function moveBetweenProducts(db: Db, fromProductId: string, policyId: string): Promise<Policy> {
  // A policy never changes its product.
  const policy = await db.policy.findFirst({ where: { id: policyId, deletedAt: null } });
  if (policy === null) throw notFound('policy', 'policyId');
  const counted = policy.productId === fromProductId || (await countMove(db, fromProductId, policy.productId));
  const held = await db.$queryRaw<unknown[]>`SELECT 1 FROM policy WHERE id = ${policyId}::uuid AND deleted_at IS NULL FOR KEY SHARE`;
  if (!counted || held.length === 0) throw notFound('policy', 'policyId');
  // Again under the lock: it may have been changed meanwhile.
  return db.policy.findUniqueOrThrow({ where: { id: policyId } });
}

/** One license fewer here and one more there; false when there is no such product any more. */
async function countMove(db: Db, fromId: string, toId: string): Promise<boolean> {
  const counted = await db.$executeRaw`
    WITH held AS (SELECT id FROM product WHERE id IN (${fromId}::uuid, ${toId}::uuid) AND deleted_at IS NULL ORDER BY id FOR NO KEY UPDATE)
    UPDATE product SET licenses_count = licenses_count + CASE WHEN product.id = ${toId}::uuid THEN 1 ELSE -1 END
      FROM held WHERE product.id = held.id`;
  return counted === 2;
}
