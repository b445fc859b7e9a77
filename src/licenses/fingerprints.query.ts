import type { Db } from '../core/database.js';
import type { Issue } from '../domain/errors.js';
import { type Held, isTaken } from '../domain/fingerprints.js';
import type { PlannedLicense } from './creation.plan.js';

/**
 * What each of these licenses brings that is active elsewhere, where its policy wants it to be active once: on a license
 * that there is, or on one before it in the same file (`held`, which gets the fingerprints of those without an issue).
 * What is free stays free until the end of the work, but for licenses whose policies do not mind.
 */
export async function fingerprintIssues(db: Db, licenses: readonly PlannedLicense[], held: Held): Promise<Issue[][]> {
  const isActive = await activeAmong(db, licenses);
  return licenses.map(({ machines, policy, columns }) => {
    const issues = machines.flatMap(({ id, fingerprint }, index): Issue[] =>
      isActive.has(id) || isTaken(held.get(fingerprint) ?? [], policy.fingerprintUniqueness, columns)
        ? [{ path: `machines[${String(index)}].fingerprint`, message: 'is active elsewhere' }]
        : [],
    );
    const { policyId, productId } = columns;
    if (issues.length === 0) {
      for (const { fingerprint } of machines) held.set(fingerprint, [...(held.get(fingerprint) ?? []), { policyId, productId }]);
    }
    return issues;
  });
}

/** Ids of the machines whose fingerprints are taken by what is stored. */
async function activeAmong(db: Db, licenses: readonly PlannedLicense[]): Promise<Set<string>> {
  const strict = licenses
    .filter(({ policy }) => policy.fingerprintUniqueness !== 'PER_LICENSE')
    .flatMap(({ machines, policy, columns }) => machines.map(({ id, fingerprint }) => ({ id, fingerprint, policy, columns })));
  if (strict.length === 0) return new Set();
  const wanted = strict.map(({ fingerprint, policy, columns }, position) => ({
    position,
    fingerprint,
    uniqueness: policy.fingerprintUniqueness,
    policy_id: columns.policyId,
    product_id: columns.productId,
  }));
  const taken = await db.$queryRaw<{ position: number }[]>`
    SELECT taken AS position FROM taken_fingerprints(${JSON.stringify(wanted)}::jsonb) AS taken`;
  return new Set(taken.map(({ position }) => strict[position]?.id ?? ''));
}
