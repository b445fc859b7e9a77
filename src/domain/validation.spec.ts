import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { nextCheckInAt } from './check-in.js';
import { DAY_MS } from './expiry.js';
import { matchesNeeded } from './matching.js';
import {
  expirationStrategies,
  fingerprintMatchings,
  heartbeatBases,
  leasingStrategies,
  overageStrategies,
  policyFromTemplate,
  requirableScopes,
  type LeasingStrategy,
  type OverageStrategy,
  type PolicyRules,
} from './policy.js';
import { totalsOfNone } from './seats.js';
import { rules } from './validation-rules.js';
import {
  explain,
  judge,
  notFoundVerdict,
  settled,
  tracesOf,
  validationMessages,
  type Facts,
  type ValidationCode,
  type ValidationLicense,
  type ValidationMachine,
  type ValidationRequest,
} from './validation.js';

const now = new Date('2026-06-15T12:00:00.000Z');
const MINUTE_MS = 60_000;
const fromNow = (milliseconds: number): Date => new Date(now.getTime() + milliseconds);

const machine = (fingerprint: string, lastHeartbeatAt: Date | null = fromNow(-5 * MINUTE_MS)): ValidationMachine => ({
  id: `id of ${fingerprint}`,
  fingerprint,
  components: [],
  activatedAt: fromNow(-3 * DAY_MS),
  lastHeartbeatAt,
});

/** Every rule applies, and every rule passes; each row of the tables changes one thing. */
const sound: Facts = {
  environment: 'live',
  accountId: 'account',
  environmentId: 'environment',
  keyValidUntil: null,
  testClock: null,
  now,
  policy: {
    ...policyFromTemplate({}),
    maxMachines: 2,
    maxCores: 8,
    maxMemoryMb: 16_000,
    maxDiskMb: 500_000,
    maxProcesses: 3,
    maxUses: 5,
    requiredScopes: ['product', 'version'],
    fingerprintMatching: 'ALL',
    requireHeartbeat: true,
    requireCheckIn: true,
    checkInIntervalDays: 7,
  },
  license: {
    id: 'license',
    name: null,
    productId: 'product',
    policyId: 'policy',
    userEmail: 'ada@example.com',
    userName: null,
    startsAt: fromNow(-10 * DAY_MS),
    createdAt: fromNow(-20 * DAY_MS),
    expiresAt: fromNow(30 * DAY_MS),
    clockPending: false,
    lastCheckInAt: fromNow(-DAY_MS),
    firstValidatedAt: null,
    lastValidatedAt: null,
    suspendedAt: null,
    bannedAt: null,
    revokedAt: null,
    allowedVersions: '>=1.0.0',
    usesCount: 4,
    machineCount: 2,
    coresTotal: 8,
    memoryMbTotal: 16_000,
    diskMbTotal: 500_000,
    maxMachinesOverride: null,
    maxCoresOverride: null,
    maxMemoryMbOverride: null,
    maxDiskMbOverride: null,
    maxUsesOverride: null,
    maxProcessesOverride: null,
    metadata: {},
  },
  productCode: 'EDITOR',
  inheritedEntitlements: ['pro'],
  ownEntitlements: [],
  machines: [machine('first'), machine('second')],
  deadTotals: totalsOfNone,
  processes: [null, 'id of first', 'id of second'].map((machineId) => ({ machineId, running: 3 })),
  request: {
    fingerprints: ['first', 'second'],
    entitlements: ['pro'],
    product: 'editor',
    policy: 'policy',
    version: '2.0.0',
    userEmail: 'ada@example.com',
    increment: 1,
  },
};

interface Change extends Partial<Omit<Facts, 'license' | 'policy' | 'request'>> {
  license?: Partial<ValidationLicense>;
  policy?: Partial<PolicyRules>;
  request?: Partial<ValidationRequest>;
}

function factsWith(...changes: Change[]): Facts {
  return changes.reduce<Facts>(
    (facts, change) => ({
      ...facts,
      ...change,
      license: { ...facts.license, ...change.license },
      policy: { ...facts.policy, ...change.policy },
      request: { ...facts.request, ...change.request },
    }),
    sound,
  );
}

function outcomeOf(rule: string, ...changes: Change[]): string {
  const outcome = rules.find(({ name }) => name === rule)!.judge(factsWith(...changes));
  return 'code' in outcome ? `${outcome.kind} ${outcome.code}` : outcome.kind;
}

/** The codes of all failing rules: what a verdict would hide behind its first. */
const failuresOf = (facts: Facts): ValidationCode[] =>
  rules.flatMap((rule) => {
    const outcome = rule.judge(facts);
    return outcome.kind === 'fail' ? [outcome.code] : [];
  });

interface Row {
  rule: string;
  code: ValidationCode;
  /** Makes this rule fail, and no other. */
  fails: Change;
  /** Takes away what the rule looks at; absent where it always applies. */
  skips?: Change[];
  /** All that the rule depends on. */
  reads: string[];
}

/** What says whether dead machines count. */
const floats = ['policy.floating', 'policy.requireHeartbeat', 'deadTotals'];

/** validation.md, "The decision", rules 2 to 20 in its order; rule 1, `exists`, holds wherever there is anything to judge. */
const decisionTable: Row[] = [
  { rule: 'not banned', reads: ['license.bannedAt'], code: 'BANNED', fails: { license: { bannedAt: now } } },
  {
    rule: 'not revoked',
    reads: ['license.revokedAt', 'license.expiresAt', 'policy.expirationStrategy', 'policy.gracePeriodDays', 'now'],
    code: 'REVOKED',
    fails: { license: { revokedAt: now } },
  },
  { rule: 'not suspended', reads: ['license.suspendedAt'], code: 'SUSPENDED', fails: { license: { suspendedAt: now } } },
  {
    rule: 'has started',
    reads: ['license.startsAt', 'now'],
    code: 'NOT_STARTED',
    fails: { license: { startsAt: fromNow(1) } },
    skips: [{ license: { startsAt: null } }],
  },
  {
    rule: 'required scopes are sent',
    reads: ['policy.requiredScopes', 'request.product', 'request.policy', 'request.fingerprints', 'request.userEmail', 'request.version'],
    code: 'SCOPE_REQUIRED',
    fails: { request: { version: undefined } },
    skips: [{ policy: { requiredScopes: [] } }],
  },
  {
    rule: 'product',
    reads: ['license.productId', 'productCode', 'request.product'],
    code: 'PRODUCT_MISMATCH',
    fails: { productCode: 'VIEWER' },
    skips: [{ policy: { requiredScopes: [] }, request: { product: undefined } }],
  },
  {
    rule: 'policy',
    reads: ['license.policyId', 'request.policy'],
    code: 'POLICY_MISMATCH',
    fails: { license: { policyId: 'another' } },
    skips: [{ request: { policy: undefined } }],
  },
  {
    rule: 'user',
    reads: ['license.userEmail', 'request.userEmail'],
    code: 'USER_MISMATCH',
    fails: { license: { userEmail: 'grace@example.com' } },
    skips: [{ request: { userEmail: undefined } }],
  },
  {
    rule: 'version',
    reads: ['license.allowedVersions', 'request.version'],
    code: 'VERSION_NOT_ALLOWED',
    fails: { license: { allowedVersions: '^1.0.0' } },
    skips: [{ license: { allowedVersions: null } }, { policy: { requiredScopes: [] }, request: { version: undefined } }],
  },
  {
    rule: 'not expired',
    reads: ['license.expiresAt', 'license.clockPending', 'policy.expirationStrategy', 'policy.gracePeriodDays', 'now'],
    code: 'EXPIRED',
    fails: { license: { expiresAt: now } },
    skips: [{ license: { expiresAt: null } }],
  },
  {
    rule: 'checked in',
    reads: ['license.lastCheckInAt', 'license.startsAt', 'license.createdAt', 'policy.requireCheckIn', 'policy.checkInIntervalDays', 'now'],
    code: 'CHECK_IN_OVERDUE',
    fails: { license: { lastCheckInAt: fromNow(-7 * DAY_MS) } },
    skips: [{ policy: { requireCheckIn: false } }],
  },
  {
    rule: 'fingerprint given',
    reads: ['policy.requireFingerprint', 'request.fingerprints'],
    code: 'FINGERPRINT_REQUIRED',
    fails: { request: { fingerprints: [] }, machines: [] },
    skips: [{ policy: { requireFingerprint: false } }],
  },
  {
    rule: 'fingerprint active',
    reads: ['policy.fingerprintMatching', 'request.fingerprints', 'license.machineCount', 'machines'],
    code: 'FINGERPRINT_NOT_FOUND',
    fails: { machines: [machine('first')] },
    skips: [{ policy: { requireFingerprint: false }, request: { fingerprints: [] }, machines: [] }],
  },
  {
    rule: 'heartbeat',
    reads: [
      'policy.requireHeartbeat',
      'policy.heartbeatIntervalMinutes',
      'policy.heartbeatBasis',
      'policy.fingerprintMatching',
      'request.fingerprints',
      'machines',
      'now',
    ],
    code: 'HEARTBEAT_DEAD',
    fails: { policy: { heartbeatIntervalMinutes: 5 } },
    skips: [
      { policy: { requireHeartbeat: false }, machines: [machine('first', null), machine('second', null)] },
      { policy: { requireFingerprint: false }, request: { fingerprints: [] }, machines: [] },
    ],
  },
  {
    rule: 'seats',
    reads: ['license.machineCount', 'license.maxMachinesOverride', 'policy.maxMachines', 'policy.overageStrategy', ...floats],
    code: 'MACHINE_LIMIT_EXCEEDED',
    fails: { license: { maxMachinesOverride: 1 } },
    skips: [{ policy: { maxMachines: null } }],
  },
  {
    rule: 'cores',
    reads: ['license.coresTotal', 'license.maxCoresOverride', 'policy.maxCores', 'policy.overageStrategy', ...floats],
    code: 'CORE_LIMIT_EXCEEDED',
    fails: { license: { maxCoresOverride: 7 } },
    skips: [{ policy: { maxCores: null } }],
  },
  {
    rule: 'memory',
    reads: ['license.memoryMbTotal', 'license.maxMemoryMbOverride', 'policy.maxMemoryMb', 'policy.overageStrategy', ...floats],
    code: 'MEMORY_LIMIT_EXCEEDED',
    fails: { license: { maxMemoryMbOverride: 15_999 } },
    skips: [{ policy: { maxMemoryMb: null } }],
  },
  {
    rule: 'disk',
    reads: ['license.diskMbTotal', 'license.maxDiskMbOverride', 'policy.maxDiskMb', 'policy.overageStrategy', ...floats],
    code: 'DISK_LIMIT_EXCEEDED',
    fails: { license: { maxDiskMbOverride: 499_999 } },
    skips: [{ policy: { maxDiskMb: null } }],
  },
  {
    rule: 'processes',
    reads: [
      'processes',
      'machines',
      'license.maxProcessesOverride',
      'policy.maxProcesses',
      'policy.overageStrategy',
      'policy.leasingStrategy',
    ],
    code: 'PROCESS_LIMIT_EXCEEDED',
    fails: { license: { maxProcessesOverride: 2 } },
    skips: [
      { policy: { maxProcesses: null } },
      { policy: { leasingStrategy: 'PER_MACHINE', requireFingerprint: false }, machines: [], request: { fingerprints: [] } },
      { policy: { leasingStrategy: 'PER_USER', requireFingerprint: false }, machines: [], request: { fingerprints: [] } },
    ],
  },
  {
    rule: 'entitlements',
    reads: ['inheritedEntitlements', 'ownEntitlements', 'request.entitlements', 'now'],
    code: 'ENTITLEMENTS_MISSING',
    fails: { inheritedEntitlements: [] },
    skips: [{ request: { entitlements: undefined } }],
  },
  {
    rule: 'uses',
    reads: ['license.usesCount', 'license.maxUsesOverride', 'policy.maxUses', 'request.increment'],
    code: 'USES_EXCEEDED',
    fails: { license: { usesCount: 5 } },
    skips: [{ policy: { maxUses: null } }],
  },
];

describe('the decision table', () => {
  it('has a row for every rule, in the order of precedence', () => {
    expect(rules.map(({ name }) => name)).toEqual(['exists', ...decisionTable.map(({ rule }) => rule)]);
  });

  it('answers VALID without warnings when every rule applies and passes', () => {
    expect(rules.map((rule) => rule.judge(sound).kind)).toEqual(rules.map(() => 'pass'));
    expect(judge(sound)).toEqual({ valid: true, code: 'VALID', message: 'The license is valid.', warnings: [] });
  });

  it.each(decisionTable)('$rule: else $code, and nothing else fails', ({ rule, code, fails }) => {
    expect(outcomeOf(rule, fails)).toBe(`fail ${code}`);
    expect(failuresOf(factsWith(fails))).toEqual([code]);
    expect(judge(factsWith(fails))).toMatchObject({ valid: false, code, warnings: [] });
  });

  it.each(decisionTable.flatMap(({ rule, skips = [] }) => skips.map((skips) => ({ rule, skips }))))(
    '$rule: skipped when there is nothing to hold against it',
    ({ rule, skips }) => {
      expect(outcomeOf(rule, skips)).toBe('skip');
      expect(judge(factsWith(skips))).toMatchObject({ valid: true, code: 'VALID' });
    },
  );

  it('answers NOT_FOUND where there is no license to judge', () => {
    expect(notFoundVerdict).toEqual({ valid: false, code: 'NOT_FOUND', message: validationMessages.NOT_FOUND, warnings: [] });
  });
});

describe('precedence', () => {
  // Without a fingerprint no machine is missing or dead: FINGERPRINT_REQUIRED meets neither of the next two rules.
  const lookAtFingerprints: ValidationCode[] = ['FINGERPRINT_NOT_FOUND', 'HEARTBEAT_DEAD'];
  const neighbours = decisionTable.flatMap((earlier, index) => {
    const candidates = decisionTable.slice(index + 1);
    const later = candidates.find(({ code }) => earlier.code !== 'FINGERPRINT_REQUIRED' || !lookAtFingerprints.includes(code));
    return later === undefined ? [] : [{ earlier, later }];
  });

  it.each(neighbours)('$earlier.code comes before $later.code', ({ earlier, later }) => {
    const facts = factsWith(earlier.fails, later.fails);
    expect(failuresOf(facts)).toEqual([earlier.code, later.code]);
    expect(judge(facts)).toMatchObject({ valid: false, code: earlier.code, warnings: [] });
  });

  it('of any failures the earliest decides', () => {
    fc.assert(
      fc.property(fc.subarray(decisionTable, { minLength: 1 }), (failing) => {
        expect(judge(factsWith(...failing.map(({ fails }) => fails))).code).toBe(failing[0]!.code);
      }),
    );
  });
});

describe('warnings', () => {
  const expiredButAllowed: Change = { policy: { expirationStrategy: 'ALLOW_ACCESS' }, license: { expiresAt: now } };
  const inGrace: Change = { policy: { gracePeriodDays: 3 }, license: { expiresAt: now } };
  const overage: Change = { policy: { overageStrategy: 'ALLOW_2X', maxMachines: 1, maxCores: 4 } };
  const notice = (code: ValidationCode) => ({ code, message: validationMessages[code] });

  it.each([
    { what: 'expired under ALLOW_ACCESS', changes: [expiredButAllowed], codes: ['EXPIRED'] as const },
    { what: 'in its grace period', changes: [inGrace], codes: ['IN_GRACE_PERIOD'] as const },
    { what: 'over its limits', changes: [overage], codes: ['MACHINE_LIMIT_EXCEEDED', 'CORE_LIMIT_EXCEEDED'] as const },
    { what: 'both', changes: [inGrace, overage], codes: ['IN_GRACE_PERIOD', 'MACHINE_LIMIT_EXCEEDED', 'CORE_LIMIT_EXCEEDED'] as const },
  ])('$what: valid, the first warning is the code, and all are listed in order', ({ changes, codes }) => {
    expect(judge(factsWith(...changes))).toEqual({ valid: true, ...notice(codes[0]), warnings: codes.map(notice) });
  });

  it('stand beside a failure, which decides even when it comes later', () => {
    const verdict = judge(factsWith(inGrace, overage, { inheritedEntitlements: [] }));
    expect(verdict).toMatchObject({ valid: false, code: 'ENTITLEMENTS_MISSING' });
    expect(verdict.warnings.map(({ code }) => code)).toEqual(['IN_GRACE_PERIOD', 'MACHINE_LIMIT_EXCEEDED', 'CORE_LIMIT_EXCEEDED']);
  });

  it('of a tolerated overage never make an expired license valid', () => {
    const verdict = judge(factsWith(overage, { license: { expiresAt: now } }));
    expect(verdict).toMatchObject({ valid: false, code: 'EXPIRED' });
    expect(verdict.warnings.map(({ code }) => code)).toEqual(['MACHINE_LIMIT_EXCEEDED', 'CORE_LIMIT_EXCEEDED']);
  });
});

describe('time', () => {
  it.each<{ what: string; change: Change; rule: string; outcome: string }>([
    { what: 'starts now', rule: 'has started', change: { license: { startsAt: now } }, outcome: 'pass' },
    { what: 'expires in a millisecond', rule: 'not expired', change: { license: { expiresAt: fromNow(1) } }, outcome: 'pass' },
    { what: 'expires now', rule: 'not expired', change: { license: { expiresAt: now } }, outcome: 'fail EXPIRED' },
    {
      what: 'grace begins now',
      rule: 'not expired',
      change: { license: { expiresAt: now }, policy: { gracePeriodDays: 1 } },
      outcome: 'warn IN_GRACE_PERIOD',
    },
    {
      what: 'last millisecond of grace',
      rule: 'not expired',
      change: { license: { expiresAt: fromNow(1 - 2 * DAY_MS) }, policy: { gracePeriodDays: 2 } },
      outcome: 'warn IN_GRACE_PERIOD',
    },
    {
      what: 'grace ends now',
      rule: 'not expired',
      change: { license: { expiresAt: fromNow(-2 * DAY_MS) }, policy: { gracePeriodDays: 2 } },
      outcome: 'fail EXPIRED',
    },
    {
      what: 'grace ends now under ALLOW_ACCESS',
      rule: 'not expired',
      change: { license: { expiresAt: fromNow(-2 * DAY_MS) }, policy: { gracePeriodDays: 2, expirationStrategy: 'ALLOW_ACCESS' } },
      outcome: 'warn EXPIRED',
    },
    {
      what: 'grace comes before ALLOW_ACCESS',
      rule: 'not expired',
      change: { license: { expiresAt: now }, policy: { gracePeriodDays: 2, expirationStrategy: 'ALLOW_ACCESS' } },
      outcome: 'warn IN_GRACE_PERIOD',
    },
    {
      what: 'expires now under REVOKE',
      rule: 'not revoked',
      change: { license: { expiresAt: now }, policy: { expirationStrategy: 'REVOKE' } },
      outcome: 'fail REVOKED',
    },
    {
      what: 'runs on under REVOKE',
      rule: 'not revoked',
      change: { license: { expiresAt: fromNow(1) }, policy: { expirationStrategy: 'REVOKE' } },
      outcome: 'pass',
    },
    {
      what: 'check-in due in a millisecond',
      rule: 'checked in',
      change: { license: { lastCheckInAt: fromNow(1 - 7 * DAY_MS) } },
      outcome: 'pass',
    },
    {
      what: 'check-in due now',
      rule: 'checked in',
      change: { license: { lastCheckInAt: fromNow(-7 * DAY_MS) } },
      outcome: 'fail CHECK_IN_OVERDUE',
    },
  ])('$what: $outcome', ({ rule, change, outcome }) => {
    expect(outcomeOf(rule, change)).toBe(outcome);
  });

  it('expired under REVOKE, the license is REVOKED rather than EXPIRED', () => {
    expect(judge(factsWith({ license: { expiresAt: now }, policy: { expirationStrategy: 'REVOKE' } })).code).toBe('REVOKED');
  });

  it('the next check-in counts from the last, else from the start, else from creation; none is due where none is required', () => {
    const due = (license: Partial<ValidationLicense>, policy: Partial<PolicyRules> = {}) =>
      nextCheckInAt({ ...sound.license, ...license }, { ...sound.policy, ...policy })?.getTime();
    const { lastCheckInAt, startsAt, createdAt } = sound.license;
    expect(due({})).toBe(lastCheckInAt!.getTime() + 7 * DAY_MS);
    expect(due({ lastCheckInAt: null })).toBe(startsAt!.getTime() + 7 * DAY_MS);
    expect(due({ lastCheckInAt: null, startsAt: null })).toBe(createdAt.getTime() + 7 * DAY_MS);
    expect(due({}, { requireCheckIn: false })).toBeUndefined();
  });
});

describe('what the request says', () => {
  it.each([
    ['its id', 'product', 'pass'],
    ['its code in another case', 'Editor', 'pass'],
    ['another', 'viewer', 'fail PRODUCT_MISMATCH'],
  ])('product: %s', (_what, product, outcome) => {
    expect(outcomeOf('product', { request: { product } })).toBe(outcome);
  });

  it.each([
    ['its id', 'policy', 'pass'],
    ['its id in another case', 'POLICY', 'pass'],
    ['another', 'other', 'fail POLICY_MISMATCH'],
  ])('policy: %s', (_what, policy, outcome) => {
    expect(outcomeOf('policy', { request: { policy } })).toBe(outcome);
  });

  it.each<[string | null, string, string]>([
    ['ada@example.com', 'ADA@Example.com', 'pass'],
    ['Ada@Example.com', 'ada@example.com', 'pass'],
    ['ada@example.com', 'grace@example.com', 'fail USER_MISMATCH'],
    [null, 'ada@example.com', 'fail USER_MISMATCH'],
  ])('user: a license of %s, sent %s', (userEmail, sent, outcome) => {
    expect(outcomeOf('user', { license: { userEmail }, request: { userEmail: sent } })).toBe(outcome);
  });

  it.each([
    ['>=1.0.0 <3.0.0', '2.4.1', 'pass'],
    ['^1.0.0', '2.0.0', 'fail VERSION_NOT_ALLOWED'],
    ['>=1', '2.0.0-beta.1', 'pass'],
    ['^1.0.0', '2.0.0-beta.1', 'fail VERSION_NOT_ALLOWED'],
  ])('version: %s and %s', (allowedVersions, version, outcome) => {
    expect(outcomeOf('version', { license: { allowedVersions }, request: { version } })).toBe(outcome);
  });

  it('each of the required scopes counts as sent by its own field alone, and the message names the missing one', () => {
    const nothing: ValidationRequest = { fingerprints: [] };
    const sends = { product: { product: 'x' }, policy: { policy: 'x' }, fingerprint: { fingerprints: ['x'] }, user: { userEmail: 'x' } };
    for (const [scope, sent] of Object.entries({ ...sends, version: { version: '1.0.0' } })) {
      const policy = { ...sound.policy, requiredScopes: [scope] as PolicyRules['requiredScopes'], requireFingerprint: false };
      const judgedWith = (request: Partial<ValidationRequest>) => judge({ ...sound, policy, request: { ...nothing, ...request } });
      expect(judgedWith({})).toMatchObject({ code: 'SCOPE_REQUIRED', message: expect.stringContaining(scope) });
      expect(judgedWith(sent).code).not.toBe('SCOPE_REQUIRED');
    }
  });
});

describe('fingerprints', () => {
  const counts = [1, 2, 3, 4, 5].flatMap((sent) => Array.from({ length: sent + 1 }, (_, active) => ({ sent, active })));

  it.each(fingerprintMatchings.flatMap((matching) => counts.map((count) => ({ matching, ...count }))))(
    '$matching: of $sent sent, $active active or alive',
    ({ matching, sent, active }) => {
      const fingerprints = Array.from({ length: sent }, (_, index) => String(index));
      const change = { policy: { fingerprintMatching: matching }, request: { fingerprints } };
      const passes = active >= matchesNeeded(matching, sent);
      const machines = fingerprints.slice(0, active).map((fingerprint) => machine(fingerprint));
      expect(outcomeOf('fingerprint active', change, { machines })).toBe(passes ? 'pass' : 'fail FINGERPRINT_NOT_FOUND');
      // The living are counted in the same way: the others of the matched machines are dead.
      const dead = fingerprints.slice(active).map((fingerprint) => machine(fingerprint, fromNow(-DAY_MS)));
      expect(outcomeOf('heartbeat', change, { machines: [...machines, ...dead] })).toBe(passes ? 'pass' : 'fail HEARTBEAT_DEAD');
      // As parts of one machine they count no less.
      const whole = { ...machine('whole'), components: fingerprints.slice(0, active) };
      expect(outcomeOf('fingerprint active', change, { machines: [whole] })).toBe(passes ? 'pass' : 'fail FINGERPRINT_NOT_FOUND');
    },
  );

  it('of a part of several machines live where one of them does', () => {
    const withBoard = (name: string, beat: Date | null) => ({ ...machine(name, beat), components: ['board'] });
    const dead = withBoard('dead', fromNow(-DAY_MS));
    const heartbeat = (...machines: ValidationMachine[]) => outcomeOf('heartbeat', { machines, request: { fingerprints: ['board'] } });
    expect(heartbeat(dead)).toBe('fail HEARTBEAT_DEAD');
    expect(heartbeat(dead, withBoard('alive', now))).toBe('pass');
    // What is a machine's own is that machine's, whoever else has such a part.
    expect(heartbeat(machine('board', fromNow(-DAY_MS)), withBoard('alive', now))).toBe('fail HEARTBEAT_DEAD');
  });

  describe('whatever the matching,', () => {
    const names = ['1', '2', '3', '4', '5', '6'];
    const anyMachine = fc
      .tuple(fc.constantFrom(...names), fc.subarray(names, { maxLength: 2 }), fc.constantFrom(null, now, fromNow(-DAY_MS)))
      .map(([own, components, beat]) => ({ ...machine(own, beat), components }));
    const situation = fc.record({
      sent: fc.shuffledSubarray(names, { minLength: 1, maxLength: 5 }),
      machines: fc.array(anyMachine, { maxLength: 4 }),
      fingerprintMatching: fc.constantFrom(...fingerprintMatchings),
      heartbeatBasis: fc.constantFrom(...heartbeatBases),
    });
    type Situation = typeof situation extends fc.Arbitrary<infer Value> ? Value : never;
    const saysOf = ({ sent, machines, ...policy }: Situation, rule = 'fingerprint active') =>
      outcomeOf(rule, { machines, policy, request: { fingerprints: sent } });
    const passesBoth = (one: Situation) => ['fingerprint active', 'heartbeat'].every((rule) => /pass|skip/.test(saysOf(one, rule)));

    it('one more active fingerprint never takes a pass away, and one that is not active never gives one', () => {
      fc.assert(
        fc.property(situation, (before) => {
          for (const more of names.filter((name) => !before.sent.includes(name))) {
            const after = { ...before, sent: [...before.sent, more] };
            const isActive = saysOf({ ...before, sent: [more] }) === 'pass';
            if (isActive && saysOf(before) === 'pass') expect(saysOf(after)).toBe('pass');
            if (!isActive && saysOf(before) !== 'pass') expect(saysOf(after)).not.toBe('pass');
            // Of the dead one more can be too many: of two under TWO both must live.
            const isAlive = isActive && saysOf({ ...before, sent: [more] }, 'heartbeat') === 'pass';
            if (isAlive && passesBoth(before)) expect(passesBoth(after)).toBe(true);
          }
        }),
      );
    });

    it('neither another machine, alive or dead, nor a beat takes a pass away', () => {
      fc.assert(
        fc.property(situation, anyMachine, (before, another) => {
          // One that comes to be the machine which a fingerprint stands for says by itself whether it lives.
          fc.pre(passesBoth(before) && (another.lastHeartbeatAt === now || !before.sent.includes(another.fingerprint)));
          expect(passesBoth({ ...before, machines: [...before.machines, another] })).toBe(true);
          const beaten = before.machines.map((one) => ({ ...one, lastHeartbeatAt: now }));
          expect(passesBoth({ ...before, machines: beaten })).toBe(true);
        }),
      );
    });
  });

  it('of a license without machines are NOT_ACTIVATED, and only when one was sent', () => {
    const none: Change = { license: { machineCount: 0 }, machines: [], policy: { requireFingerprint: false } };
    expect(outcomeOf('fingerprint active', none)).toBe('fail NOT_ACTIVATED');
    expect(judge(factsWith(none)).code).toBe('NOT_ACTIVATED');
    expect(judge(factsWith(none, { request: { fingerprints: [] } })).code).toBe('VALID');
  });

  it.each<{ what: string; beats: (Date | null)[]; policy?: Partial<PolicyRules>; outcome: string }>([
    { what: 'beat within the interval', beats: [fromNow(1 - 60 * MINUTE_MS)], outcome: 'pass' },
    { what: 'the interval ends now', beats: [fromNow(-60 * MINUTE_MS)], outcome: 'fail HEARTBEAT_DEAD' },
    { what: 'never beat, counted from activation', beats: [null], outcome: 'fail HEARTBEAT_DEAD' },
    { what: 'never beat, has to', beats: [null], policy: { heartbeatBasis: 'FROM_FIRST_BEAT' }, outcome: 'fail HEARTBEAT_REQUIRED' },
    {
      what: 'one dead, one never beat',
      beats: [fromNow(-DAY_MS), null],
      policy: { heartbeatBasis: 'FROM_FIRST_BEAT' },
      outcome: 'fail HEARTBEAT_DEAD',
    },
  ])('heartbeat: $what: $outcome', ({ beats, policy = {}, outcome }) => {
    const machines = beats.map((beat, index) => machine(String(index), beat));
    const fingerprints = machines.map(({ fingerprint }) => fingerprint);
    expect(outcomeOf('heartbeat', { machines, policy, request: { fingerprints } })).toBe(outcome);
  });
});

describe('limits', () => {
  const limits = [
    { code: 'MACHINE_LIMIT_EXCEEDED', total: 'machineCount', max: 'maxMachines', override: 'maxMachinesOverride' },
    { code: 'CORE_LIMIT_EXCEEDED', total: 'coresTotal', max: 'maxCores', override: 'maxCoresOverride' },
    { code: 'MEMORY_LIMIT_EXCEEDED', total: 'memoryMbTotal', max: 'maxMemoryMb', override: 'maxMemoryMbOverride' },
    { code: 'DISK_LIMIT_EXCEEDED', total: 'diskMbTotal', max: 'maxDiskMb', override: 'maxDiskMbOverride' },
    { code: 'PROCESS_LIMIT_EXCEEDED', total: 'processCount', max: 'maxProcesses', override: 'maxProcessesOverride' },
  ] as const;
  const cases: { used: number; max: number | null; override?: number; overage: OverageStrategy; kind: 'pass' | 'warn' | 'fail' }[] = [
    { used: 10, max: 10, overage: 'NO_OVERAGE', kind: 'pass' },
    { used: 11, max: 10, overage: 'NO_OVERAGE', kind: 'fail' },
    { used: 11, max: 10, overage: 'ALLOW_1_25X', kind: 'warn' },
    { used: 12, max: 10, overage: 'ALLOW_1_25X', kind: 'warn' },
    { used: 13, max: 10, overage: 'ALLOW_1_25X', kind: 'fail' },
    { used: 999, max: 10, overage: 'ALWAYS_ALLOW', kind: 'warn' },
    { used: 10, max: null, override: 9, overage: 'NO_OVERAGE', kind: 'fail' },
    { used: 10, max: 9, override: 10, overage: 'NO_OVERAGE', kind: 'pass' },
  ];

  it.each(limits.flatMap((names) => cases.map((row) => ({ names, ...row }))))(
    '$names.total $used of $max (override $override) under $overage: $kind',
    ({ names, used, max, override, overage, kind }) => {
      const unlimited: Change = { policy: { maxMachines: null, maxCores: null, maxMemoryMb: null, maxDiskMb: null, maxProcesses: null } };
      const facts = factsWith(unlimited, {
        license: { [names.total]: used, [names.override]: override ?? null },
        processes: [{ machineId: null, running: used }],
        policy: { [names.max]: max, overageStrategy: overage },
      });
      expect(judge(facts)).toMatchObject({ valid: kind !== 'fail', code: kind === 'pass' ? 'VALID' : names.code });
    },
  );

  const machineLimits = limits.filter(({ total }) => total !== 'processCount');
  type DeadCase = { what: string; policy: Partial<PolicyRules>; dead: number; kind: string };
  const deadCases: DeadCase[] = [
    { what: 'keeps its seat', policy: {}, dead: 4, kind: 'fail' },
    { what: 'has lost its lease', policy: { floating: true }, dead: 4, kind: 'pass' },
    { what: 'of a lease is one too few', policy: { floating: true }, dead: 3, kind: 'fail' },
    { what: 'of a lease is one too few, which is tolerated', policy: { floating: true, overageStrategy: 'ALLOW_1_25X' }, dead: 3, kind: 'warn' },
    { what: 'never died, where no heartbeat is required', policy: { floating: true, requireHeartbeat: false }, dead: 4, kind: 'fail' },
  ]; // prettier-ignore
  it.each(machineLimits.flatMap((names) => deadCases.map((row) => ({ names, ...row }))))(
    '$names.total over the limit, but dead: $what: $kind',
    ({ names, policy, dead, kind }) => {
      const facts = factsWith({
        policy: { maxMachines: 2000, maxCores: 2000, maxMemoryMb: 20_000, [names.max]: 10, ...policy },
        license: { machineCount: 2, [names.total]: 14 },
        deadTotals: { ...totalsOfNone, [names.total]: dead },
      });
      expect(judge(facts)).toMatchObject({ valid: kind !== 'fail', code: kind === 'pass' ? 'VALID' : names.code });
      const counted = policy.floating === true && policy.requireHeartbeat !== false ? dead : 0;
      const [limited] = explain(facts).rules.filter(({ facts }) => facts.max === 10);
      expect(limited?.facts).toMatchObject({ used: 14 - counted, dead: counted });
    },
  );

  it.each<{ usesCount: number; max: number; override?: number; increment?: number; passes: boolean }>([
    { usesCount: 5, max: 5, passes: true },
    { usesCount: 6, max: 5, passes: false },
    { usesCount: 4, max: 5, increment: 1, passes: true },
    { usesCount: 5, max: 5, increment: 1, passes: false },
    { usesCount: 0, max: 5, increment: 6, passes: false },
    { usesCount: 0, max: 0, passes: true },
    { usesCount: 0, max: 0, increment: 1, passes: false },
    { usesCount: 6, max: 5, override: 7, increment: 1, passes: true },
    { usesCount: 5, max: 9, override: 4, passes: false },
  ])('uses: $usesCount of $max (override $override), increment $increment: passes $passes', (row) => {
    const change: Change = {
      license: { usesCount: row.usesCount, maxUsesOverride: row.override ?? null },
      // Overage is for machines and what they sum to, never for uses.
      policy: { maxUses: row.max, overageStrategy: 'ALWAYS_ALLOW' },
      request: { increment: row.increment },
    };
    expect(outcomeOf('uses', change)).toBe(row.passes ? 'pass' : 'fail USES_EXCEEDED');
  });
});

describe('processes', () => {
  const counts = (...running: number[]): Change => ({
    processes: running.map((count, index) => ({ machineId: [null, 'id of first', 'id of second'][index] ?? null, running: count })),
  });
  const [first, second] = [machine('first'), machine('second')];

  it.each<{ leasingStrategy: LeasingStrategy; machines: ValidationMachine[]; change: Change; used: number | null; outcome: string }>([
    { leasingStrategy: 'PER_LICENSE', machines: [], change: counts(4, 1, 1), used: 4, outcome: 'fail PROCESS_LIMIT_EXCEEDED' },
    { leasingStrategy: 'PER_LICENSE', machines: [first], change: counts(3, 9, 9), used: 3, outcome: 'pass' },
    { leasingStrategy: 'PER_LICENSE', machines: [first], change: { processes: [] }, used: 0, outcome: 'pass' },
    { leasingStrategy: 'PER_MACHINE', machines: [first, second], change: counts(9, 1, 4), used: 4, outcome: 'fail PROCESS_LIMIT_EXCEEDED' },
    { leasingStrategy: 'PER_MACHINE', machines: [first, second], change: counts(9, 4, 1), used: 4, outcome: 'fail PROCESS_LIMIT_EXCEEDED' },
    // What other machines run is no matter of this request's.
    { leasingStrategy: 'PER_MACHINE', machines: [first], change: counts(9, 3, 4), used: 3, outcome: 'pass' },
    { leasingStrategy: 'PER_USER', machines: [second], change: counts(9, 9, 3), used: 3, outcome: 'pass' },
    { leasingStrategy: 'PER_USER', machines: [second], change: { processes: [] }, used: 0, outcome: 'pass' },
    { leasingStrategy: 'PER_USER', machines: [], change: counts(9, 9, 9), used: null, outcome: 'skip' },
  ])('$leasingStrategy of $machines.length machines, of $change: $outcome', ({ leasingStrategy, machines, change, used, outcome }) => {
    const judged: Change = { ...change, machines, policy: { leasingStrategy } };
    expect(outcomeOf('processes', judged)).toBe(outcome);
    const rule = explain(factsWith(judged)).rules.find((one) => one.rule === 'processes');
    expect(rule?.facts.used).toBe(used);
  });
});

describe('entitlements', () => {
  const own = (code: string, expiresAt: Date | null) => ({ code, expiresAt, quantity: null });

  it.each<{ what: string; inherited: string[]; ownEntitlements: Facts['ownEntitlements']; passes: boolean }>([
    { what: 'inherited', inherited: ['pro'], ownEntitlements: [], passes: true },
    { what: 'own', inherited: [], ownEntitlements: [own('pro', null)], passes: true },
    { what: 'own, ends in a millisecond', inherited: [], ownEntitlements: [own('pro', fromNow(1))], passes: true },
    { what: 'own, ends now', inherited: [], ownEntitlements: [own('pro', now)], passes: false },
    { what: 'own has ended, inherited goes on', inherited: ['pro'], ownEntitlements: [own('pro', now)], passes: true },
    { what: 'of another code', inherited: ['Pro'], ownEntitlements: [own('prof', null)], passes: false },
  ])('$what: passes $passes', ({ inherited, ownEntitlements, passes }) => {
    const outcome = outcomeOf('entitlements', { inheritedEntitlements: inherited, ownEntitlements });
    expect(outcome).toBe(passes ? 'pass' : 'fail ENTITLEMENTS_MISSING');
  });

  it('an empty list asks for nothing, and passes', () => {
    expect(outcomeOf('entitlements', { request: { entitlements: [] }, inheritedEntitlements: [] })).toBe('pass');
  });

  it('the message names every missing one and no other', () => {
    const { message } = judge(factsWith({ request: { entitlements: ['pro', 'export', 'sync'] } }));
    expect(message).toBe('The license lacks the entitlement export, sync.');
  });
});

describe('an explanation', () => {
  const explained = (rule: string, ...changes: Change[]) => explain(factsWith(...changes)).rules.find((one) => one.rule === rule)!;

  it('says what was compared, and why', () => {
    const inGrace: Change = { policy: { gracePeriodDays: 3 }, license: { expiresAt: now } };
    expect(explained('not expired', inGrace)).toEqual({
      rule: 'not expired',
      outcome: 'warn',
      code: 'IN_GRACE_PERIOD',
      detail: validationMessages.IN_GRACE_PERIOD,
      facts: { clockPending: false, expiresAt: now, now, gracePeriodDays: 3, expirationStrategy: 'RESTRICT_ACCESS' },
    });
    expect(explained('seats', { policy: { overageStrategy: 'ALLOW_1_5X' } })).toMatchObject({
      outcome: 'pass',
      code: null,
      facts: { used: 2, max: 2, limit: 3, overageStrategy: 'ALLOW_1_5X' },
    });
    expect(explained('entitlements', { request: { entitlements: ['pro', 'sync'] } })).toMatchObject({
      outcome: 'fail',
      detail: expect.stringContaining('sync'),
      facts: { held: ['pro'], missing: ['sync'] },
    });
    expect(explained('processes', { policy: { leasingStrategy: 'PER_USER', maxProcesses: 2 } })).toMatchObject({
      outcome: 'fail',
      detail: "3 processes run for the machine's user, of 2 that the license allows.",
      facts: { leasingStrategy: 'PER_USER', machineId: 'id of first', used: 3, max: 2, limit: 2 },
    });
  });

  it.each(decisionTable)('of $rule has the values that it looks at', ({ rule, fails }) => {
    const { facts, detail, code } = explained(rule, fails);
    expect(Object.keys(facts).length).toBeGreaterThan(0);
    expect(detail).not.toBe('');
    expect(code).not.toBeNull();
  });
});

describe('what a success leaves', () => {
  const basis = (expirationBasis: PolicyRules['expirationBasis']): Change => ({
    policy: { expirationBasis, durationDays: 10 },
    license: { clockPending: true, expiresAt: null, usesCount: 1 },
  });
  const started = { expiresAt: fromNow(10 * DAY_MS), termAnchorAt: now, clockPending: false };
  const known: Change = { license: { firstValidatedAt: fromNow(-DAY_MS) } };
  const uncounted: Change = { request: { increment: undefined } };

  it.each<{ what: string; changes: Change[]; traces: ReturnType<typeof tracesOf> }>([
    { what: 'the first', changes: [uncounted], traces: { firstValidatedAt: now } },
    { what: 'a later one', changes: [known, uncounted], traces: null },
    { what: 'a later one that counts', changes: [known], traces: { usesCount: 5 } },
    {
      what: 'the first, which the clock waits for',
      changes: [basis('FROM_FIRST_VALIDATION'), uncounted],
      traces: { firstValidatedAt: now, ...started },
    },
    {
      what: 'the first, where the clock waits for a use',
      changes: [basis('FROM_FIRST_USE'), uncounted],
      traces: { firstValidatedAt: now },
    },
    { what: 'the first use', changes: [basis('FROM_FIRST_USE'), known], traces: { ...started, usesCount: 2 } },
    { what: 'a use, where the clock waits for a machine', changes: [basis('FROM_FIRST_ACTIVATION'), known], traces: { usesCount: 2 } },
  ])('$what', ({ changes, traces }) => {
    expect(tracesOf(factsWith(...changes))).toEqual(traces);
  });

  it('shows in the answer, and a failure leaves nothing', () => {
    const facts = factsWith(basis('FROM_FIRST_VALIDATION'));
    expect(settled(facts, judge(facts)).license).toMatchObject({ ...started, firstValidatedAt: now, usesCount: 2 });
    const banned = factsWith(basis('FROM_FIRST_VALIDATION'), { license: { bannedAt: now } });
    expect(settled(banned, judge(banned))).toBe(banned);
  });

  it('is never more than can be counted', () => {
    const full = { license: { usesCount: 2_147_483_647 }, policy: { maxUses: null } };
    expect(outcomeOf('uses', full)).toBe('fail USES_EXCEEDED');
    expect(outcomeOf('uses', full, uncounted)).toBe('skip');
  });
});

describe('any license', () => {
  const tolerances: Change[] = [
    { policy: { overageStrategy: 'ALLOW_2X' } },
    { policy: { expirationStrategy: 'ALLOW_ACCESS' } },
    { policy: { expirationStrategy: 'REVOKE' } },
    { policy: { gracePeriodDays: 5 } },
    { now: fromNow(40 * DAY_MS) },
  ];
  const changes = [...decisionTable.flatMap(({ fails, skips = [] }) => [fails, ...skips]), ...tolerances];

  it('is valid if and only if no rule fails; same facts, same verdict, and the facts stay as they are', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray(changes, { maxLength: 6 }), (chosen) => {
        const facts = factsWith(...chosen);
        const before = structuredClone(facts);
        const verdict = judge(facts);
        expect(verdict.valid).toBe(failuresOf(facts).length === 0);
        expect(judge(before)).toEqual(verdict);
        expect(facts).toEqual(before);
      }),
    );
  });

  it('is explained by what its verdict is made of: the first failure, else the first warning, else VALID', () => {
    fc.assert(
      fc.property(anyFacts, (facts) => {
        const { verdict, rules: explained } = explain(facts);
        const [failure] = explained.filter(({ outcome }) => outcome === 'fail');
        const warnings = explained.filter(({ outcome }) => outcome === 'warn');
        const decisive = failure ?? warnings[0] ?? { code: 'VALID', detail: validationMessages.VALID };
        expect(judge(facts)).toEqual(verdict);
        expect(verdict).toEqual({
          valid: failure === undefined,
          code: decisive.code,
          message: decisive.detail,
          warnings: warnings.map(({ code, detail }) => ({ code, message: detail })),
        });
        for (const { outcome, code } of explained) expect(code !== null).toBe(outcome === 'fail' || outcome === 'warn');
      }),
      { numRuns: 200 },
    );
  });

  it.each(decisionTable)('$rule depends on nothing but what it reads: no other rule can flip it', ({ rule, reads }) => {
    const { judge: ask } = rules.find(({ name }) => name === rule)!;
    fc.assert(
      fc.property(anyFacts, anyFacts, (facts, others) => {
        expect(ask(withInputs(others, reads, facts))).toEqual(ask(facts));
      }),
      { numRuns: 60 },
    );
  });
});

const times = fc.integer({ min: -40, max: 40 }).map((days) => fromNow(days * DAY_MS));
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value);
const few = fc.integer({ min: 0, max: 5 });
const fingerprints = ['first', 'second', 'third'];
const entitlementCodes = ['pro', 'sync', 'export'];

/** Any license that the database could hold, and more: also what does not go together. */
const anyFacts: fc.Arbitrary<Facts> = fc
  .record({
    now: times,
    productCode: fc.constantFrom('EDITOR', 'VIEWER'),
    inheritedEntitlements: fc.subarray(entitlementCodes),
    ownEntitlements: fc.array(fc.record({ code: fc.constantFrom(...entitlementCodes), expiresAt: maybe(times), quantity: maybe(few) }), {
      maxLength: 3,
    }),
    machines: fc
      .subarray(fingerprints)
      .chain((some) =>
        fc.tuple(
          ...some.map((fingerprint) =>
            fc.tuple(maybe(times), fc.subarray(fingerprints)).map(([beat, components]) => ({ ...machine(fingerprint, beat), components })),
          ),
        ),
      ),
    deadTotals: fc.record({ machineCount: few, coresTotal: few, memoryMbTotal: few, diskMbTotal: few }),
    processes: fc.uniqueArray(
      fc.record({ machineId: fc.constantFrom(null, ...fingerprints.map((fingerprint) => `id of ${fingerprint}`)), running: few }),
      { selector: ({ machineId }) => machineId },
    ),
    license: fc.record({
      productId: fc.constantFrom('product', 'another'),
      policyId: fc.constantFrom('policy', 'another'),
      userEmail: maybe(fc.constantFrom('ada@example.com', 'grace@example.com')),
      startsAt: maybe(times),
      createdAt: times,
      expiresAt: maybe(times),
      clockPending: fc.boolean(),
      lastCheckInAt: maybe(times),
      suspendedAt: maybe(times),
      bannedAt: maybe(times),
      revokedAt: maybe(times),
      allowedVersions: maybe(fc.constantFrom('>=1.0.0', '^1.0.0')),
      usesCount: few,
      machineCount: few,
      coresTotal: few,
      memoryMbTotal: few,
      diskMbTotal: few,
      maxMachinesOverride: maybe(few),
      maxCoresOverride: maybe(few),
      maxMemoryMbOverride: maybe(few),
      maxDiskMbOverride: maybe(few),
      maxUsesOverride: maybe(few),
      maxProcessesOverride: maybe(few),
    }),
    policy: fc.record({
      expirationStrategy: fc.constantFrom(...expirationStrategies),
      gracePeriodDays: few,
      maxMachines: maybe(few),
      maxCores: maybe(few),
      maxMemoryMb: maybe(few),
      maxDiskMb: maybe(few),
      maxUses: maybe(few),
      maxProcesses: maybe(few),
      overageStrategy: fc.constantFrom(...overageStrategies),
      leasingStrategy: fc.constantFrom(...leasingStrategies),
      requireFingerprint: fc.boolean(),
      fingerprintMatching: fc.constantFrom(...fingerprintMatchings),
      floating: fc.boolean(),
      requireHeartbeat: fc.boolean(),
      heartbeatIntervalMinutes: fc.constantFrom(60, 14_400),
      heartbeatBasis: fc.constantFrom(...heartbeatBases),
      requireCheckIn: fc.boolean(),
      checkInIntervalDays: maybe(fc.integer({ min: 1, max: 30 })),
      requiredScopes: fc.subarray([...requirableScopes]),
    }),
    request: fc.record(
      {
        fingerprints: fc.subarray(fingerprints),
        entitlements: fc.subarray(entitlementCodes),
        product: fc.constantFrom('editor', 'product', 'viewer'),
        policy: fc.constantFrom('policy', 'another'),
        version: fc.constantFrom('1.2.0', '2.0.0', '0.9.0'),
        userEmail: fc.constantFrom('ada@example.com', 'grace@example.com'),
        increment: fc.integer({ min: 1, max: 3 }),
      },
      { requiredKeys: ['fingerprints'] },
    ),
  })
  .map(({ license, policy, request, ...rest }) => ({
    ...sound,
    ...rest,
    license: { ...sound.license, ...license },
    policy: { ...sound.policy, ...policy },
    request,
  }));

/** These facts, but with the named inputs of others. */
function withInputs(facts: Facts, inputs: string[], from: Facts): Facts {
  const result = structuredClone(facts) as unknown as Record<string, Record<string, unknown>>;
  const source = from as unknown as Record<string, Record<string, unknown>>;
  for (const input of inputs) {
    const [part = '', field] = input.split('.');
    if (field === undefined) result[part] = source[part]!;
    else result[part]![field] = source[part]![field];
  }
  return result as unknown as Facts;
}
