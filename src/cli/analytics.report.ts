import type { PointView, PolicySeatsView } from '../analytics/analytics.dto.js';
import type { OverviewView } from '../analytics/overview.dto.js';
import type { RankView } from '../analytics/rankings.dto.js';
import { bars, barsOf, type Canvas, number, sparkline } from './bars.js';
import type { Row } from './csv.js';
import { time } from './output.js';

/** What `latchkey analytics` tells. */
export interface Analytics extends OverviewView {
  seats: PolicySeatsView[];
  /** Of this month. */
  topLicenses: RankView[];
}

/** Policies shown to people; programs are given all. */
const POLICIES_SHOWN = 20;
/** More are told by a line alone. */
const BARS_SHOWN = 100;

/** As people read it. */
export function describeAnalytics(analytics: Analytics, canvas: Canvas): string {
  const { licenses, machines, activations, validations, seats, topLicenses, asOf } = analytics;
  const { total, expiringIn7Days, expiringIn30Days, ...states } = licenses;
  const { trend } = activations;
  const activated = trend.reduce((sum, { count }) => sum + count, 0);
  const crowded = [...seats].sort((a, b) => b.used - a.used || a.policyName.localeCompare(b.policyName));
  const more = seats.length > POLICIES_SHOWN ? [`(and ${number(seats.length - POLICIES_SHOWN)} policies more; --json has them all)`] : [];
  const expiring = `${number(expiringIn7Days)} within 7 days, ${number(expiringIn30Days)} within 30`;
  return [
    section('LICENSES', number(total), barsOf(Object.entries(states), canvas), `expiring  ${expiring}`),
    section(
      'MACHINES',
      number(machines.total),
      barsOf(
        [
          ['active', machines.active],
          ['dead', machines.dead],
        ],
        canvas,
      ),
    ),
    section(
      'ACTIVATIONS OF 7 DAYS',
      number(activated),
      barsOf(
        trend.map(({ date, count }) => [date, count]),
        canvas,
      ),
    ),
    section(
      'VALIDATIONS',
      `${number(validations.total)}, ${number(validations.successful)} successful, ${number(validations.failed)} failed`,
      barsOf(descending(Object.entries(validations.byCode)), canvas),
    ),
    section('SEATS BY POLICY', number(machines.total), seatBars(crowded.slice(0, POLICIES_SHOWN), canvas), ...more),
    section(
      'TOP LICENSES OF THIS MONTH, BY VALIDATIONS',
      '',
      barsOf(
        topLicenses.map((rank) => [rank.label, rank.value]),
        canvas,
      ),
    ),
    `as of ${time(asOf, '')}`,
  ].join('\n\n');
}

/** `section,name,value`: whatever is added later are further sections and names. */
export function rowsOfAnalytics({ licenses, machines, activations, validations, seats, topLicenses, asOf }: Analytics): Row[] {
  const { byCode, ...outcomes } = validations;
  const counts = (section: string, all: object): Row[] => Object.entries(all).map(([name, count]) => [section, name, count as number]);
  return [
    ['section', 'name', 'value'],
    ['analytics', 'asOf', asOf.toISOString()],
    ...counts('licenses', licenses),
    ...counts('machines', machines),
    ...activations.trend.map(({ date, count }): Row => ['activations', date, count]),
    ...counts('validations', outcomes),
    ...counts('validationsByCode', byCode),
    ...seats.map(({ policyName, used }): Row => ['seatsUsed', policyName, used]),
    ...seats.map(({ policyName, limit }): Row => ['seatsLimit', policyName, limit ?? '']),
    ...topLicenses.map((rank): Row => ['topLicenses', rank.label, rank.value]),
  ];
}

/** As people read it: a bar for each bucket, the greatest groups below, by the names of what they are ids of. */
export function describeTimeseries(
  points: readonly PointView[],
  { metric, interval, names = new Map() }: { metric: string; interval: string; names?: ReadonlyMap<string, string> },
  canvas: Canvas,
): string {
  const values = points.map(({ value }) => value);
  const starts = points.map(({ start }) => start.toISOString().slice(0, lengths[interval]).replace('T', ' '));
  const total = values.reduce((sum, value) => sum + value, 0);
  // Machines that are active on many days are the same machines.
  const sum = metric === 'active_machines' ? `${number(values.at(-1) ?? 0)} at the end` : number(total);
  const groups = named(groupsOf(points, metric === 'active_machines'), names);
  return [
    `${metric} by ${interval}, ${starts[0] ?? ''} to ${starts.at(-1) ?? ''} (UTC): ${sum}`,
    sparkline(values, canvas),
    ...(points.length > BARS_SHOWN
      ? []
      : [
          barsOf(
            values.map((value, index) => [starts[index] ?? '', value]),
            canvas,
          ),
        ]),
    ...(groups.length === 0 ? [] : [barsOf(groups, canvas)]),
  ].join('\n\n');
}

/** `start,group,value`: the group is empty for the whole. */
export function rowsOfTimeseries(points: readonly PointView[]): Row[] {
  return [
    ['start', 'group', 'value'],
    ...points.flatMap(({ start, value, groups = {} }): Row[] => [
      [start.toISOString(), '', value],
      ...Object.entries(groups).map(([name, count]): Row => [start.toISOString(), name, count]),
    ]),
  ];
}

/** How much of a time tells a bucket of its unit: `2027-01-15T10:30`. */
const lengths: Record<string, number> = { hour: 16, day: 10, week: 10, month: 7 };

function section(heading: string, summary: string, chart: string, ...more: string[]): string {
  return [`${heading}  ${summary}`.trimEnd(), chart === '' ? 'none' : chart, ...more].join('\n');
}

/** How full the seats of each policy are; without a limit there is nothing to fill. */
function seatBars(seats: readonly PolicySeatsView[], canvas: Canvas): string {
  return bars(
    seats.map(({ policyName, used, limit, over }) => ({
      name: policyName,
      share: limit === null || limit === 0 ? 0 : used / limit,
      text: `${number(used)} of ${limit === null ? 'any number' : number(limit)}${over > 0 ? `, ${number(over)} over` : ''}`,
    })),
    canvas,
  );
}

/** Two of one name are told apart by their ids. */
function named(groups: readonly [string, number][], names: ReadonlyMap<string, string>): [string, number][] {
  const bearers = groups.map(([id]) => names.get(id));
  return groups.map(([id, count], index) => {
    const name = bearers[index];
    return [name === undefined || bearers.filter((other) => other === name).length > 1 ? id : name, count];
  });
}

/** Of all buckets together; of what there is at a time, those of the last. */
function groupsOf(points: readonly PointView[], isAtATime: boolean): [string, number][] {
  const sums = new Map<string, number>();
  for (const { groups = {} } of isAtATime ? points.slice(-1) : points)
    for (const [name, value] of Object.entries(groups)) sums.set(name, (sums.get(name) ?? 0) + value);
  return descending([...sums]);
}

function descending(counts: readonly [string, number][]): [string, number][] {
  return [...counts].sort(([nameA, a], [nameB, b]) => b - a || nameA.localeCompare(nameB));
}
