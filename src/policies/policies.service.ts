import { Injectable } from '@nestjs/common';
import { recordChange } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { containsAnyCase } from '../core/like.js';
import { type Page, paginate } from '../core/page.js';
import { acrossSegments, hold, holdToDelete, ofSegment } from '../core/segment.js';
import { invalid, LatchkeyError, notFound } from '../domain/errors.js';
import { changedPolicy, policyFromTemplate, policyIssues, type PolicyRequest, type PolicyRules, rulesOf } from '../domain/policy.js';
import { entitlementIds, recordAttachments } from '../entitlements/entitlements.query.js';
import type { Prisma } from '../generated/prisma/client.js';
import {
  type CreatePolicyBody,
  includeEntitlementCodes,
  type PoliciesQuery,
  type PolicyRow,
  type PolicyView,
  type PreviewPolicyBody,
  toPolicyRules,
  toPolicyView,
  type UpdatePolicyBody,
} from './policies.dto.js';
import { type PolicyPreviewView, toPolicyPreviewView } from './preview.dto.js';
import { verdictChanges } from './preview.query.js';

@Injectable()
export class PoliciesService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
  ) {}

  /** 400 for rules that contradict each other, 404 for an unknown product. */
  create(tenant: Tenant, body: CreatePolicyBody): Promise<PolicyView> {
    const rules = sound(body, policyFromTemplate(body));
    const { productId, name, metadata } = body;
    return this.database.within(tenant, async (db) => {
      // Held until the end: a product that is being deleted takes no new policy.
      const products = await db.$queryRaw<
        unknown[]
      >`SELECT 1 FROM product WHERE id = ${productId}::uuid AND deleted_at IS NULL FOR KEY SHARE`;
      if (products.length === 0) throw notFound('product', 'productId');
      const row = await db.policy.create({ data: { productId, name, metadata, ...rules }, include: includeEntitlementCodes });
      const after = toPolicyView(row, tenant.environment);
      await recordChange(db, { action: 'policy.created', resource: { type: 'policy', id: row.id }, after });
      return after;
    });
  }

  list(tenant: Tenant, query: PoliciesQuery): Promise<Page<PolicyView>> {
    const where: Prisma.PolicyWhereInput = { deletedAt: null, productId: query.productId, ...ofSegment(tenant) };
    if (query.q !== undefined) where.name = containsAnyCase(query.q);
    return this.database.within(tenant, (db) =>
      paginate(
        query,
        { list: 'policies', sort: '-createdAt' },
        (page) => db.policy.findMany({ ...page, where: { AND: [where, page.where] }, include: includeEntitlementCodes }),
        (row) => toPolicyView(row, tenant.environment),
      ),
    );
  }

  get(tenant: Tenant, id: string): Promise<PolicyView> {
    return this.database.within(tenant, async (db) => toPolicyView(await load(db, tenant, id), tenant.environment));
  }

  /** Its licenses follow at once: they read their policy, they do not copy it. */
  update(tenant: Tenant, id: string, body: UpdatePolicyBody): Promise<PolicyView> {
    const { name, metadata } = body;
    return this.database.within(tenant, async (db) => {
      const resource = await hold(db, tenant, 'policy', id);
      const current = await load(db, tenant, id);
      sound(body, changedPolicy(toPolicyRules(current), body));
      const row = await db.policy.update({ where: { id }, data: { name, metadata, ...rulesOf(body) }, include: includeEntitlementCodes });
      const after = toPolicyView(row, tenant.environment);
      await recordChange(db, { action: 'policy.updated', resource, before: toPolicyView(current, tenant.environment), after });
      return after;
    });
  }

  /** What `update` would do to the verdicts on licenses: nothing is changed or recorded. 400 for what it would refuse. */
  preview(tenant: Tenant, id: string, body: PreviewPolicyBody): Promise<PolicyPreviewView> {
    return this.database.within(tenant, async (db) => {
      const current = toPolicyRules(await load(db, tenant, id));
      const proposed = sound(body, changedPolicy(current, body));
      return toPolicyPreviewView(await verdictChanges(db, tenant, id, { current, proposed, now: this.clock.now() }));
    });
  }

  /** 422 while licenses follow it: a license without its rules could not be judged. */
  remove(tenant: Tenant, id: string): Promise<void> {
    return this.database.within(tenant, async (db) => {
      const resource = await holdToDelete(db, tenant, 'policy', id);
      const license = await acrossSegments(db, tenant, 'whether anyone has licenses of a policy', () =>
        db.license.findFirst({ where: { policyId: id, deletedAt: null }, select: { id: true } }),
      );
      if (license !== null) throw new LatchkeyError('POLICY_HAS_LICENSES', 'The policy has licenses: delete or transfer them first.');
      const row = await db.policy.update({ where: { id }, data: { deletedAt: this.clock.now() }, include: includeEntitlementCodes });
      await recordChange(db, { action: 'policy.deleted', resource, before: toPolicyView(row, tenant.environment) });
    });
  }

  /** Attaching again is no error. 404 for an unknown code. */
  attach(tenant: Tenant, id: string, codes: string[]): Promise<PolicyView> {
    return this.database.within(tenant, async (db) => {
      const resource = await hold(db, tenant, 'policy', id);
      const ids = await entitlementIds(db, codes, 'codes');
      const held = await load(db, tenant, id);
      const isNew = (code: string): boolean => held.entitlements.every(({ entitlement }) => entitlement.code !== code);
      const attached = codes.filter(isNew).map((code) => ({ code }));
      if (attached.length === 0) return toPolicyView(held, tenant.environment);
      await this.touch(db, id);
      await db.policyEntitlement.createMany({
        data: ids.map((entitlementId) => ({ policyId: id, entitlementId })),
        skipDuplicates: true,
      });
      const view = toPolicyView(await load(db, tenant, id), tenant.environment);
      await recordAttachments(db, { resource, object: view }, [], attached);
      return view;
    });
  }

  detach(tenant: Tenant, id: string, code: string): Promise<void> {
    return this.database.within(tenant, async (db) => {
      const resource = await hold(db, tenant, 'policy', id);
      await this.touch(db, id);
      const { count } = await db.policyEntitlement.deleteMany({ where: { policyId: id, entitlement: { code } } });
      if (count === 0) throw notFound('entitlement of the policy');
      const object = toPolicyView(await load(db, tenant, id), tenant.environment);
      await recordAttachments(db, { resource, object }, [{ code }], []);
    });
  }

  /** Before its entitlements change: the database keeps what it was, with them. */
  private async touch(db: Db, id: string): Promise<void> {
    await db.policy.update({ where: { id }, data: { updatedAt: this.clock.now() } });
  }
}

/** @throws 400 VALIDATION_ERROR with every contradiction */
function sound(request: PolicyRequest, rules: PolicyRules): PolicyRules {
  const issues = policyIssues(request, rules);
  if (issues.length > 0) throw invalid(issues);
  return rules;
}

async function load(db: Db, tenant: Tenant, id: string): Promise<PolicyRow> {
  const row = await db.policy.findFirst({ where: { id, deletedAt: null, ...ofSegment(tenant) }, include: includeEntitlementCodes });
  if (row === null) throw notFound('policy');
  return row;
}
