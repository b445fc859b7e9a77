import { CountsByName, Integer, Nested, Text, Timestamp } from '../core/fields.js';
import { bucketBefore, bucketsBetween, dayName } from '../domain/buckets.js';
import { countLicenses, type LicenseCounts } from '../domain/license-counts.js';
import type { OverviewFacts } from './overview.query.js';

/** More than is ever counted, and exact in JSON. */
const MOST = Number.MAX_SAFE_INTEGER;
const TREND_DAYS = 7;

export class LicenseCountsView implements LicenseCounts {
  @Integer({ help: 'Licenses that are not deleted.', max: MOST, example: 1200 })
  total!: number;

  @Integer({ help: 'Active, also those in their grace period.', max: MOST, example: 1000 })
  active!: number;

  @Integer({ help: 'Expired, also those that may still be used (ALLOW_ACCESS).', max: MOST, example: 120 })
  expired!: number;

  @Integer({ help: 'Suspended.', max: MOST, example: 30 })
  suspended!: number;

  @Integer({ help: 'Revoked, by the vendor or by expiring under a policy that revokes.', max: MOST, example: 40 })
  revoked!: number;

  @Integer({ help: 'Banned.', max: MOST, example: 10 })
  banned!: number;

  @Integer({ help: 'Licenses in any state whose policy is for trials.', max: MOST, example: 200 })
  trial!: number;

  @Integer({ help: 'Active ones that expire within 7 days of 24 hours.', max: MOST, example: 12 })
  expiringIn7Days!: number;

  @Integer({ help: 'Active ones that expire within 30 days of 24 hours; those within 7 days included.', max: MOST, example: 51 })
  expiringIn30Days!: number;
}

export class MachineCountsView {
  @Integer({ help: 'Machines that hold a seat.', max: MOST, example: 2100 })
  total!: number;

  @Integer({ help: 'Those of them that are not dead.', max: MOST, example: 2080 })
  active!: number;

  @Integer({ help: 'Those of them whose heartbeat is overdue, as the sweeper found them within the last minute.', max: MOST, example: 20 })
  dead!: number;
}

export class DayCountView {
  @Text({ help: 'The day, UTC.', min: 10, max: 10, example: '2026-01-15' })
  date!: string;

  @Integer({ help: 'How many that day.', max: MOST, example: 14 })
  count!: number;
}

export class ActivationTrendView {
  @Nested(() => DayCountView, { help: 'Machines activated on each of the last 7 days, today the last; without gaps.', list: true })
  trend!: DayCountView[];
}

export class ValidationCountsView {
  @Integer({ help: 'Validations since ever.', max: MOST, example: 91000 })
  total!: number;

  @Integer({ help: 'Those that found the license valid.', max: MOST, example: 90000 })
  successful!: number;

  @Integer({ help: 'Those that did not.', max: MOST, example: 1000 })
  failed!: number;

  @CountsByName({ help: 'Validations by their code, of codes that there were.', example: { VALID: 90000, EXPIRED: 1000 } })
  byCode!: Record<string, number>;
}

export class OverviewView {
  @Nested(() => LicenseCountsView, { help: 'Licenses, by the state that they are in now; expiry is counted within 60 seconds.' })
  licenses!: LicenseCountsView;

  @Nested(() => MachineCountsView, { help: 'Machines of these licenses.' })
  machines!: MachineCountsView;

  @Nested(() => ActivationTrendView, { help: 'Machines that took a seat.' })
  activations!: ActivationTrendView;

  @Nested(() => ValidationCountsView, { help: 'Validations, those of licenses that are deleted since included.' })
  validations!: ValidationCountsView;

  @Timestamp({ help: 'Everything that was done before this time is in these numbers.' })
  asOf!: Date;
}

export function toOverviewView(
  { licenses, machines, deadMachines, activations, validations }: OverviewFacts,
  now: Date,
  asOf: Date,
): OverviewView {
  const activated = new Map(activations.map(({ date, count }) => [date, count]));
  const days = bucketsBetween(bucketBefore(now, 'day', TREND_DAYS - 1), now, 'day', TREND_DAYS) ?? [];
  const outcome = (name: string): number => validations.find((count) => count.dimension === 'outcome' && count.name === name)?.value ?? 0;
  const codes = validations.filter(({ dimension }) => dimension === 'code');
  return {
    licenses: countLicenses(licenses),
    machines: { total: machines, active: machines - deadMachines, dead: deadMachines },
    activations: { trend: days.map(dayName).map((date) => ({ date, count: activated.get(date) ?? 0 })) },
    validations: {
      total: outcome('successful') + outcome('failed'),
      successful: outcome('successful'),
      failed: outcome('failed'),
      byCode: Object.fromEntries(codes.map(({ name, value }) => [name, value])),
    },
    asOf,
  };
}
