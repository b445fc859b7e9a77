import { createHash } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { LatchkeyError } from './errors.js';
import { DAY_MS } from './expiry.js';
import { armour, fileKey, fileTtl, fileValidity, requireValidForFile, unarmour } from './license-file.js';
import { expirationStrategies, policyFromTemplate, type PolicyRules } from './policy.js';
import { totalsOfNone } from './seats.js';
import { judge, type LicenseFacts, type ValidationLicense, type ValidationMachine } from './validation.js';

const now = new Date('2026-06-15T12:00:00.000Z');
const after = (milliseconds: number): Date => new Date(now.getTime() + milliseconds);
const HOUR_MS = 3_600_000;

function refusalOf(work: () => unknown): [string, unknown] | null {
  try {
    work();
    return null;
  } catch (error) {
    if (!(error instanceof LatchkeyError)) throw error;
    return [error.code, error.details];
  }
}

describe('for how long', () => {
  const policy = { offlineAllowed: true, offlineMaxDays: 2 };

  it.each([
    [undefined, 172_800],
    [3600, 3600],
    [172_800, 172_800],
  ])('%s is %s', (requested, ttl) => {
    expect(fileTtl(requested, policy)).toBe(ttl);
  });

  it('no more than the policy allows, and nothing where it allows none', () => {
    expect(refusalOf(() => fileTtl(172_801, policy))).toEqual(['OFFLINE_TTL_EXCEEDED', { field: 'ttlSeconds', max: 172_800 }]);
    for (const requested of [undefined, 3600, 172_801])
      expect(refusalOf(() => fileTtl(requested, { ...policy, offlineAllowed: false }))).toEqual(['OFFLINE_NOT_ALLOWED', undefined]);
  });

  const inDays = (days: number | null): Date | null => (days === null ? null : after(days * DAY_MS));

  // Days of: the license's expiry, grace, the file, the end of a key that was rotated out.
  it.each([
    ['a perpetual license', null, 0, 'RESTRICT_ACCESS', 14, null, 14],
    ['one that runs for longer', 30, 0, 'RESTRICT_ACCESS', 14, null, 14],
    ['one that ends before', 3, 0, 'RESTRICT_ACCESS', 14, null, 3],
    ['one that ends before, with days of grace', 3, 5, 'RESTRICT_ACCESS', 14, null, 3],
    ['one that ends before, and then may go on', 3, 0, 'ALLOW_ACCESS', 14, null, 3],
    ['one in its grace period', -1, 5, 'RESTRICT_ACCESS', 14, null, 4],
    ['one in its grace period, which may then go on', -1, 5, 'ALLOW_ACCESS', 14, null, 4],
    ['one in a grace period that is longer', -1, 50, 'REVOKE', 14, null, 14],
    ['one that has expired and may go on', -9, 5, 'ALLOW_ACCESS', 14, null, 14],
    ['a key that ends before', 3, 0, 'RESTRICT_ACCESS', 14, 1, 1],
    ['a key that ends after', 3, 0, 'RESTRICT_ACCESS', 14, 5, 3],
  ] as const)('of %s', (_, expiry, gracePeriodDays, expirationStrategy, ttl, keyEnd, wanted) => {
    const rules = { ...policyFromTemplate({}), durationDays: 1, expirationStrategy, gracePeriodDays };
    const validity = fileValidity({ expiresAt: inDays(expiry), clockPending: false }, rules, ttl * 86_400, inDays(keyEnd), now);
    expect(validity).toEqual({ issuedAt: now, expiresAt: inDays(wanted) });
  });

  it('no longer than a term where the clock waits for what nobody may ever hear of', () => {
    const rules = { ...policyFromTemplate({}), durationDays: 3 };
    const waiting = { expiresAt: null, clockPending: true };
    expect(fileValidity(waiting, rules, 14 * 86_400, null, now).expiresAt).toEqual(inDays(3));
    expect(fileValidity(waiting, rules, 86_400, null, now).expiresAt).toEqual(inDays(1));
    expect(fileValidity(waiting, { ...rules, durationDays: null }, 14 * 86_400, null, now).expiresAt).toEqual(inDays(14));
  });

  it('never past the moment from which a validation would fail, nor for longer than was asked for', () => {
    const days = fc.integer({ min: -20, max: 20 });
    fc.assert(
      fc.property(
        fc.option(days, { nil: null }),
        fc.integer({ min: 0, max: 20 }),
        fc.constantFrom(...expirationStrategies),
        fc.integer({ min: 3600, max: 40 * 86_400 }),
        (expiry, gracePeriodDays, expirationStrategy, ttlSeconds) => {
          const policy = { ...policyFromTemplate({}), requireFingerprint: false, expirationStrategy, gracePeriodDays };
          const facts = factsOf({ expiresAt: inDays(expiry) }, policy);
          if (refusalOf(() => requireValidForFile(facts, null, 'holder', now)) !== null) return;
          const { expiresAt } = fileValidity(facts.license, policy, ttlSeconds, null, now);
          expect(expiresAt.getTime()).toBeLessThanOrEqual(now.getTime() + ttlSeconds * 1000);
          const last = new Date(expiresAt.getTime() - 1);
          expect(judge({ ...facts, request: { fingerprints: [] }, now: last }).valid).toBe(true);
        },
      ),
    );
  });
});

const machine: ValidationMachine = { id: 'machine', fingerprint: 'fingerprint', components: [], activatedAt: now, lastHeartbeatAt: null };

function factsOf(
  license: Partial<ValidationLicense> = {},
  policy: PolicyRules = policyFromTemplate({}),
  machines = [machine],
): LicenseFacts {
  return {
    environment: 'live',
    accountId: 'account',
    environmentId: 'environment',
    keyValidUntil: null,
    testClock: null,
    policy,
    license: {
      id: 'license',
      name: null,
      productId: 'product',
      policyId: 'policy',
      userEmail: null,
      userName: null,
      startsAt: null,
      createdAt: after(-DAY_MS),
      expiresAt: null,
      clockPending: false,
      lastCheckInAt: null,
      firstValidatedAt: null,
      lastValidatedAt: null,
      suspendedAt: null,
      bannedAt: null,
      revokedAt: null,
      allowedVersions: null,
      usesCount: 0,
      ...totalsOfNone,
      machineCount: 1,
      maxMachinesOverride: null,
      maxCoresOverride: null,
      maxMemoryMbOverride: null,
      maxDiskMbOverride: null,
      maxProcessesOverride: null,
      maxUsesOverride: null,
      metadata: {},
      ...license,
    },
    productCode: 'editor',
    inheritedEntitlements: [],
    ownEntitlements: [],
    machines,
    deadTotals: totalsOfNone,
    processes: [],
  };
}

describe('who gets one', () => {
  const rules = policyFromTemplate({});
  const ended = { expiresAt: after(-HOUR_MS) };

  it.each<[string, Partial<ValidationLicense>, Partial<PolicyRules>, [string, unknown] | null]>([
    ['a license that is valid', {}, {}, null],
    ['a banned one', { bannedAt: now }, {}, ['LICENSE_BANNED', undefined]],
    ['a revoked one', { revokedAt: now }, {}, ['LICENSE_REVOKED', undefined]],
    ['a suspended one', { suspendedAt: now }, {}, ['LICENSE_SUSPENDED', undefined]],
    ['one that has not started', { startsAt: after(1) }, {}, ['LICENSE_NOT_VALID', { code: 'NOT_STARTED' }]],
    ['an expired one', ended, {}, ['LICENSE_EXPIRED', undefined]],
    ['an expired one that is revoked by it', ended, { expirationStrategy: 'REVOKE' }, ['LICENSE_REVOKED', undefined]],
    ['one in its grace period', ended, { gracePeriodDays: 1 }, null],
    ['an expired one that may go on', ended, { expirationStrategy: 'ALLOW_ACCESS' }, null],
    [
      'one that has not checked in',
      {},
      { requireCheckIn: true, checkInIntervalDays: 1 },
      ['LICENSE_NOT_VALID', { code: 'CHECK_IN_OVERDUE' }],
    ],
    ['one over its limit', { machineCount: 3 }, { maxMachines: 2 }, ['LICENSE_NOT_VALID', { code: 'MACHINE_LIMIT_EXCEEDED' }]],
    ['one over its limit, which tolerates it', { machineCount: 3 }, { maxMachines: 2, overageStrategy: 'ALWAYS_ALLOW' }, null],
    ['one whose policy requires more of each request', { allowedVersions: '>=2' }, { requiredScopes: ['product', 'user'] }, null],
  ])('%s', (_, license, changes, refusal) => {
    const facts = factsOf(license, { ...rules, maxMachines: null, ...changes });
    for (const one of [null, machine]) expect(refusalOf(() => requireValidForFile(facts, one, 'vendor', now))).toEqual(refusal);
  });

  it('where each machine is to be known, a file for whatever machine comes from the vendor alone', () => {
    const facts = factsOf({}, { ...rules, requireFingerprint: true });
    const by = (asking: 'holder' | 'vendor', one: ValidationMachine | null) =>
      refusalOf(() => requireValidForFile(facts, one, asking, now));
    expect(by('holder', null)).toEqual(['LICENSE_NOT_VALID', { code: 'FINGERPRINT_REQUIRED' }]);
    for (const file of [by('holder', machine), by('vendor', machine), by('vendor', null)]) expect(file).toBeNull();
  });

  it('of machines, one that is alive and has its seat', () => {
    const policy = { ...rules, requireHeartbeat: true, heartbeatIntervalMinutes: 60 };
    const of = (one: ValidationMachine, others: ValidationMachine[] = [], changes: Partial<PolicyRules> = {}) =>
      refusalOf(() => requireValidForFile(factsOf({}, { ...policy, ...changes }, [one, ...others]), one, 'holder', now));
    const dead = { ...machine, activatedAt: after(-2 * HOUR_MS) };
    expect(of(machine)).toBeNull();
    expect(of(dead)).toEqual(['MACHINE_DEAD', undefined]);
    expect(of(dead, [], { requireHeartbeat: false })).toBeNull();
    // What lives is another machine, which has a part with that fingerprint.
    expect(of(dead, [{ ...machine, id: 'other', fingerprint: 'another', components: ['fingerprint'] }])).toEqual([
      'MACHINE_DEAD',
      undefined,
    ]);
    expect(of(machine, [], { heartbeatBasis: 'FROM_FIRST_BEAT' })).toEqual(['LICENSE_NOT_VALID', { code: 'HEARTBEAT_REQUIRED' }]);
    expect(refusalOf(() => requireValidForFile(factsOf({}, rules, []), machine, 'holder', now))).toEqual([
      'LICENSE_NOT_VALID',
      { code: 'FINGERPRINT_NOT_FOUND' },
    ]);
  });
});

describe('the text of a file', () => {
  it('is base64 in lines of 64 between its marks', () => {
    const text = armour('machine', 'x'.repeat(50));
    const base64 = Buffer.from('x'.repeat(50)).toString('base64');
    expect(text).toBe(`-----BEGIN LATCHKEY MACHINE-----\n${base64.slice(0, 64)}\n${base64.slice(64)}\n-----END LATCHKEY MACHINE-----\n`);
  });

  it('gives back what it was made of, also with the line ends of Windows', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('license', 'machine'),
        fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 500 }),
        (kind, document) => {
          const text = armour(kind, document);
          expect(unarmour(text)).toEqual({ kind, document });
          expect(unarmour(text.replaceAll('\n', '\r\n'))).toEqual({ kind, document });
        },
      ),
    );
  });

  it.each([
    ['nothing', ''],
    ['another end', armour('license', 'a.b.c').replace('END LATCHKEY LICENSE', 'END LATCHKEY MACHINE')],
    ['another kind', armour('license', 'a.b.c').replaceAll('LICENSE', 'SERVER')],
    ['what is no base64', armour('license', 'a.b.c').replace(/\n[^\n]+\n-----END/, '\na.b.c\n-----END')],
    ['something before it', `x${armour('license', 'a.b.c')}`],
    ['something behind it', `${armour('license', 'a.b.c')}x`],
  ])('is not %s', (_, text) => {
    expect(unarmour(text)).toBeNull();
  });

  it('is encrypted with the key of license and machine', () => {
    const sha256 = (text: string) => new Uint8Array(createHash('sha256').update(text, 'utf8').digest());
    expect(fileKey('ACME-ä', null)).toEqual(sha256('ACME-ä'));
    expect(fileKey('ACME-ä', 'fingerprint')).toEqual(sha256('ACME-äfingerprint'));
  });
});
