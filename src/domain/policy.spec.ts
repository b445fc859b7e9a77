import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  changedPolicy,
  expirationBases,
  expirationStrategies,
  fingerprintMatchings,
  fingerprintUniquenesses,
  heartbeatBases,
  heartbeatCullStrategies,
  leasingStrategies,
  overageStrategies,
  policyAuthentications,
  policyFromTemplate,
  policyIssues,
  policyRuleNames,
  policyTemplateNames,
  renewalBases,
  requirableScopes,
  rulesOf,
  transferStrategies,
  type PolicyRequest,
  type PolicyRules,
} from './policy.js';

/** resources.md, "Policies", column "default". */
const contractDefaults: PolicyRules = {
  template: 'custom',
  durationDays: null,
  durationCalendarMonths: null,
  expirationStrategy: 'RESTRICT_ACCESS',
  expirationBasis: 'FROM_CREATION',
  renewalBasis: 'FROM_EXPIRY',
  transferStrategy: 'KEEP_EXPIRY',
  gracePeriodDays: 0,
  isTrial: false,
  trialDurationDays: null,
  maxMachines: 1,
  maxUses: null,
  maxCores: null,
  maxMemoryMb: null,
  maxDiskMb: null,
  maxProcesses: null,
  overageStrategy: 'NO_OVERAGE',
  floating: false,
  leasingStrategy: 'PER_LICENSE',
  requireFingerprint: true,
  fingerprintUniqueness: 'PER_LICENSE',
  fingerprintMatching: 'ANY',
  requireHeartbeat: false,
  heartbeatIntervalMinutes: 60,
  heartbeatBasis: 'FROM_ACTIVATION',
  heartbeatCullStrategy: 'DEACTIVATE_DEAD',
  heartbeatResurrectionMinutes: 0,
  requireCheckIn: false,
  checkInIntervalDays: null,
  allowMachineTransfer: false,
  offlineAllowed: true,
  offlineMaxDays: 14,
  requiredScopes: [],
  authentication: 'BOTH',
};

describe('a new policy', () => {
  it.each<PolicyRequest>([{}, { template: 'custom' }])('of %p has the defaults', (request) => {
    expect(policyFromTemplate(request)).toEqual(contractDefaults);
    expect(policyRuleNames).toEqual(Object.keys(contractDefaults));
  });

  it.each<Partial<PolicyRules>>([
    { template: 'desktop_app', maxMachines: 2, requireFingerprint: true, offlineAllowed: true, offlineMaxDays: 14 },
    { template: 'cli_tool', maxMachines: 3, requireFingerprint: true, offlineAllowed: true, offlineMaxDays: 7 },
    {
      template: 'saas',
      maxMachines: null,
      requireFingerprint: false,
      offlineAllowed: false,
      floating: true,
      requireHeartbeat: true,
      heartbeatIntervalMinutes: 1440,
      durationDays: 30,
    },
    { template: 'trial', maxMachines: 1, requireFingerprint: true, offlineAllowed: false, isTrial: true, trialDurationDays: 14 },
  ])('of template $template differs from the defaults in what the template says, and breaks no rule', (template) => {
    const request: PolicyRequest = { template: template.template };
    const rules = policyFromTemplate(request);
    expect(rules).toEqual({ ...contractDefaults, ...template });
    expect(policyIssues(request, rules)).toEqual([]);
  });

  it("lets a term in months stand instead of the template's days, and only refuses days that were asked for beside it", () => {
    const months: PolicyRequest = { template: 'saas', durationCalendarMonths: 1 };
    expect(policyFromTemplate(months)).toMatchObject({ durationDays: null, durationCalendarMonths: 1 });
    expect(policyIssues(months, policyFromTemplate(months))).toEqual([]);
    const both: PolicyRequest = { ...months, durationDays: 30 };
    expect(policyIssues(both, policyFromTemplate(both))).toHaveLength(1);
  });

  it('takes what is given over the template, null included; undefined is not given', () => {
    const rules = policyFromTemplate({ template: 'saas', durationDays: null, maxMachines: 5, floating: undefined });
    expect(rules).toMatchObject({ durationDays: null, maxMachines: 5, floating: true, requireHeartbeat: true });
  });
});

describe('a changed policy', () => {
  it('keeps what is absent, and takes null', () => {
    const before = policyFromTemplate({ template: 'saas', maxUses: 7 });
    const after = changedPolicy(before, { durationDays: null, floating: false, maxUses: undefined });
    expect(after).toEqual({ ...before, durationDays: null, floating: false });
  });

  it('takes rules only, out of whatever is sent', () => {
    expect(rulesOf({ name: 'Pro', productId: 'x', allowUnlimitedActivations: true, maxUses: 0, floating: undefined })).toEqual({
      maxUses: 0,
    });
  });
});

describe('the rules taken together', () => {
  it.each<{ what: string; request: PolicyRequest; paths: string[] }>([
    { what: 'no limit by a slip', request: { maxMachines: null }, paths: ['maxMachines'] },
    { what: 'no limit, flag false', request: { maxMachines: null, allowUnlimitedActivations: false }, paths: ['maxMachines'] },
    { what: 'no limit on purpose', request: { maxMachines: null, allowUnlimitedActivations: true }, paths: [] },
    { what: 'two durations', request: { durationDays: 30, durationCalendarMonths: 1 }, paths: ['durationCalendarMonths'] },
    { what: 'days', request: { durationDays: 30 }, paths: [] },
    { what: 'months', request: { durationCalendarMonths: 1 }, paths: [] },
    { what: 'grace before REVOKE', request: { gracePeriodDays: 1, expirationStrategy: 'REVOKE' }, paths: ['gracePeriodDays'] },
    { what: 'REVOKE without grace', request: { gracePeriodDays: 0, expirationStrategy: 'REVOKE' }, paths: [] },
    { what: 'grace before ALLOW_ACCESS', request: { gracePeriodDays: 1, expirationStrategy: 'ALLOW_ACCESS' }, paths: [] },
    { what: 'check-in without interval', request: { requireCheckIn: true }, paths: ['checkInIntervalDays'] },
    { what: 'check-in', request: { requireCheckIn: true, checkInIntervalDays: 7 }, paths: [] },
    {
      what: 'resurrection for ever of what is culled',
      request: { heartbeatResurrectionMinutes: null },
      paths: ['heartbeatResurrectionMinutes'],
    },
    {
      what: 'resurrection for ever',
      request: { heartbeatResurrectionMinutes: null, heartbeatCullStrategy: 'KEEP_DEAD' },
      paths: [],
    },
    {
      what: 'everything at once',
      request: {
        maxMachines: null,
        durationDays: 30,
        durationCalendarMonths: 1,
        gracePeriodDays: 1,
        expirationStrategy: 'REVOKE',
        requireCheckIn: true,
        heartbeatResurrectionMinutes: null,
      },
      paths: ['maxMachines', 'durationCalendarMonths', 'gracePeriodDays', 'checkInIntervalDays', 'heartbeatResurrectionMinutes'],
    },
  ])('$what: refused at $paths', ({ request, paths }) => {
    expect(policyIssues(request, policyFromTemplate(request)).map(({ path }) => path)).toEqual(paths);
  });

  it('are judged after the change: half of a conflict may be there already, and no limit needs the flag only where it is set', () => {
    const months = policyFromTemplate({ durationCalendarMonths: 1 });
    const toDays: PolicyRequest = { durationDays: 30 };
    expect(policyIssues(toDays, changedPolicy(months, toDays)).map(({ path }) => path)).toEqual(['durationDays']);
    const unlimited = policyFromTemplate({ template: 'saas' });
    const unrelated: PolicyRequest = { maxUses: 5 };
    expect(policyIssues(unrelated, changedPolicy(unlimited, unrelated))).toEqual([]);
  });

  it.each<{ before: PolicyRequest; change: PolicyRequest; path: string }>([
    { before: { durationDays: 30 }, change: { durationCalendarMonths: 1 }, path: 'durationCalendarMonths' },
    { before: { durationCalendarMonths: 1 }, change: { durationDays: 30 }, path: 'durationDays' },
    { before: { gracePeriodDays: 7 }, change: { expirationStrategy: 'REVOKE' }, path: 'expirationStrategy' },
    { before: { expirationStrategy: 'REVOKE' }, change: { gracePeriodDays: 7 }, path: 'gracePeriodDays' },
    { before: {}, change: { requireCheckIn: true }, path: 'checkInIntervalDays' },
    { before: { requireCheckIn: true, checkInIntervalDays: 7 }, change: { checkInIntervalDays: null }, path: 'checkInIntervalDays' },
    { before: {}, change: { heartbeatResurrectionMinutes: null }, path: 'heartbeatResurrectionMinutes' },
    {
      before: { heartbeatResurrectionMinutes: null, heartbeatCullStrategy: 'KEEP_DEAD' },
      change: { heartbeatCullStrategy: 'DEACTIVATE_DEAD' },
      path: 'heartbeatCullStrategy',
    },
    { before: {}, change: { maxMachines: null }, path: 'maxMachines' },
    { before: { template: 'saas' }, change: { maxMachines: null }, path: 'maxMachines' },
  ])('refuse $change after $before at $path', ({ before, change, path }) => {
    expect(policyIssues(change, changedPolicy(policyFromTemplate(before), change)).map((issue) => issue.path)).toEqual([path]);
  });

  const days = fc.integer({ min: 1, max: 36_500 });
  const limit = fc.option(fc.integer({ min: 1, max: 2_147_483_647 }), { nil: null });
  const oneOf = <T>(values: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
  /** Any values that the fields take, any of them absent. */
  const someRules: fc.Arbitrary<PolicyRequest> = fc.record(
    {
      durationDays: fc.option(days, { nil: null }),
      durationCalendarMonths: fc.option(fc.integer({ min: 1, max: 1200 }), { nil: null }),
      expirationStrategy: oneOf(expirationStrategies),
      expirationBasis: oneOf(expirationBases),
      renewalBasis: oneOf(renewalBases),
      transferStrategy: oneOf(transferStrategies),
      gracePeriodDays: fc.oneof(fc.constant(0), days),
      isTrial: fc.boolean(),
      trialDurationDays: fc.option(days, { nil: null }),
      maxMachines: limit,
      allowUnlimitedActivations: fc.boolean(),
      maxUses: fc.option(fc.nat(), { nil: null }),
      maxCores: limit,
      maxMemoryMb: limit,
      maxDiskMb: limit,
      maxProcesses: limit,
      overageStrategy: oneOf(overageStrategies),
      floating: fc.boolean(),
      leasingStrategy: oneOf(leasingStrategies),
      requireFingerprint: fc.boolean(),
      fingerprintUniqueness: oneOf(fingerprintUniquenesses),
      fingerprintMatching: oneOf(fingerprintMatchings),
      requireHeartbeat: fc.boolean(),
      heartbeatIntervalMinutes: fc.integer({ min: 1, max: 527_040 }),
      heartbeatBasis: oneOf(heartbeatBases),
      heartbeatCullStrategy: oneOf(heartbeatCullStrategies),
      heartbeatResurrectionMinutes: fc.option(fc.integer({ min: 0, max: 527_040 }), { nil: null }),
      requireCheckIn: fc.boolean(),
      checkInIntervalDays: fc.option(days, { nil: null }),
      allowMachineTransfer: fc.boolean(),
      offlineAllowed: fc.boolean(),
      offlineMaxDays: days,
      requiredScopes: fc.subarray([...requirableScopes]),
      authentication: oneOf(policyAuthentications),
    },
    { requiredKeys: [] },
  );
  /** What an issue is about, by its path and message. */
  const naming =
    (request: PolicyRequest) =>
    ({ path, message }: { path: string; message: string }): boolean =>
      Object.keys(request).some((field) => field === path || message.includes(field));

  it('hold with every template and any fields beside it, or name a field that was sent', () => {
    const request = fc.record({ template: oneOf(policyTemplateNames) }).chain((from) => someRules.map((rules) => ({ ...from, ...rules })));
    fc.assert(
      fc.property(request, (sent) => {
        const issues = policyIssues(sent, policyFromTemplate(sent));
        expect(issues.filter((issue) => !naming(sent)(issue))).toEqual([]);
        expect(new Set(issues.map(({ path }) => path)).size).toBe(issues.length);
      }),
    );
  });

  it('hold after any change to sound rules, or name a field that was sent; what is sound stays so without a change', () => {
    fc.assert(
      fc.property(oneOf(policyTemplateNames), someRules, someRules, (template, first, change) => {
        const creation = { template, ...first };
        const sound = policyFromTemplate(creation);
        fc.pre(policyIssues(creation, sound).length === 0);
        expect(policyIssues({}, sound)).toEqual([]);
        expect(policyIssues(change, changedPolicy(sound, change)).filter((issue) => !naming(change)(issue))).toEqual([]);
      }),
    );
  });
});
