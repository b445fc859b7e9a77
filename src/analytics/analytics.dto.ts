import { CalendarDate, Choice, CountsByName, Fraction, Id, Integer, Text, Timestamp } from '../core/fields.js';
import { bucketIntervals, type BucketInterval } from '../domain/buckets.js';
import type { Cohort } from '../domain/cohorts.js';
import { activityDimensions, activityMetrics, type ActivityDimension, type ActivityMetric, HOURS_KEPT_DAYS } from '../domain/roll-ups.js';
import type { SeatUse } from '../domain/seat-use.js';
import { DEFAULT_SPAN_DAYS, MAX_POINTS, type Point } from '../domain/time-series.js';

/** More than is ever counted, and exact in JSON. */
const MOST = Number.MAX_SAFE_INTEGER;

export class TimeseriesQuery {
  @Choice(activityMetrics, {
    help: 'What to tell: how often it happened in each bucket; of `active_machines`, how many machines held a seat at its end, dead ones that keep theirs included. A bucket that has not ended, or is to come, shows what is known so far.',
  })
  metric!: ActivityMetric;

  @Timestamp({
    help: `Tell from the bucket that this time is in; default ${String(DEFAULT_SPAN_DAYS)} days before \`to\`. Hours are kept for ${String(HOURS_KEPT_DAYS)} days.`,
    optional: true,
  })
  from?: Date;

  @Timestamp({
    help: `Tell up to the bucket that begins before this time; default now. At most ${String(MAX_POINTS)} buckets.`,
    optional: true,
  })
  to?: Date;

  @Choice(bucketIntervals, { help: 'Length of a bucket, in UTC; a week begins on Monday.', optional: true, default: 'day', example: 'day' })
  interval?: BucketInterval;

  @Choice(activityDimensions, {
    help: 'Tell each bucket by this too. `code` and `version`: of validations only; `platform`: of machines and of validations with one. A validation stays with the product and policy that it was judged by; other metrics go along when a license is transferred.',
    optional: true,
  })
  groupBy?: ActivityDimension;
}

export class PointView implements Point {
  @Timestamp({ help: 'When the bucket begins.' })
  start!: Date;

  @Integer({ help: 'How many.', max: MOST, example: 140 })
  value!: number;

  @CountsByName({
    help: 'With `groupBy`: how many of each name; of none that comes to nothing. A validation without a version, or without a machine, is in no group of theirs. Beyond 500 versions a day the others are `(other)`.',
    optional: true,
    example: { VALID: 130, EXPIRED: 10 },
  })
  groups?: Record<string, number>;
}

export class ExpirationsQuery {
  @CalendarDate({ unit: 'day', help: 'First day, UTC; default today.', optional: true })
  from?: Date;

  @CalendarDate({
    unit: 'day',
    help: `Last day, UTC; default 365 days after the first. At most ${String(MAX_POINTS)} days.`,
    optional: true,
  })
  to?: Date;
}

export class RetentionQuery {
  @CalendarDate({ unit: 'month', help: 'First month, UTC; default 11 months before the last.', optional: true })
  from?: Date;

  @CalendarDate({ unit: 'month', help: `Last month, UTC; default this month. At most ${String(MAX_POINTS)} months.`, optional: true })
  to?: Date;
}

export class CohortView implements Cohort {
  @Text({ help: 'The month in which the licenses were made, UTC.', min: 7, max: 7, example: '2026-01' })
  cohort!: string;

  @Integer({ help: 'Licenses made that month that are not deleted.', max: MOST, example: 120 })
  licenses!: number;

  @Integer({ help: 'Of them, those that began under a policy for trials.', max: MOST, example: 80 })
  trials!: number;

  @Integer({ help: 'Of the trials, those that came to a policy that is for none.', max: MOST, example: 20 })
  converted!: number;

  @Fraction({ help: 'converted / trials; null = no trials.', nullable: true, example: 0.25 })
  conversionRate!: number | null;

  @Integer({ help: 'Of all of them, those that have expired once or were renewed.', max: MOST, example: 40 })
  due!: number;

  @Integer({ help: 'Of those, how many were renewed.', max: MOST, example: 30 })
  renewed!: number;

  @Fraction({ help: 'renewed / due; null = none was due.', nullable: true, example: 0.75 })
  renewalRate!: number | null;
}

export class PolicySeatsView implements SeatUse {
  @Id({ help: 'The policy.' })
  policyId!: string;

  @Text({ help: 'Its name.', max: 255, example: 'Pro' })
  policyName!: string;

  @Integer({ help: 'Its licenses that are not deleted.', max: MOST, example: 100 })
  licenses!: number;

  @Integer({ help: 'Of them, those without a limit.', max: MOST, example: 0 })
  unlimited!: number;

  @Integer({ help: 'Machines that hold their seats.', max: MOST, example: 120 })
  used!: number;

  @Integer({ help: 'Seats as set, of the licenses that have a limit; null = none has.', nullable: true, max: MOST, example: 200 })
  max!: number | null;

  @Integer({
    help: 'The same with the overage that the policy tolerates, of the licenses that still have a limit then; null = none has.',
    nullable: true,
    max: MOST,
    example: 200,
  })
  limit!: number | null;

  @Integer({ help: 'Machines above `max` of their license, tolerated or not.', max: MOST, example: 3 })
  over!: number;

  @Fraction({
    help: 'Half of the licenses with a limit use no more than this share of their `max`; above 1 = more than it. Null = none has a limit.',
    nullable: true,
    example: 0.5,
  })
  p50!: number | null;

  @Fraction({ help: 'The same of 95 % of them.', nullable: true, example: 1 })
  p95!: number | null;
}
