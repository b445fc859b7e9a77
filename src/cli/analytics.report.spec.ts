import { describe, expect, it } from '@jest/globals';
import { type Analytics, describeAnalytics, describeTimeseries, rowsOfAnalytics, rowsOfTimeseries } from './analytics.report.js';

const canvas = { width: 60, isColoured: false };
const id = '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e';
const pro = { policyId: id, policyName: 'Pro', licenses: 2, unlimited: 0, used: 3, max: 4, limit: 4, over: 1, p50: 0.5, p95: 1 };

const analytics: Analytics = {
  licenses: { total: 6, active: 4, expired: 1, suspended: 1, revoked: 0, banned: 0, trial: 2, expiringIn7Days: 1, expiringIn30Days: 3 },
  machines: { total: 5, active: 4, dead: 1 },
  activations: { trend: ['2026-01-01', '2026-01-02'].map((date, index) => ({ date, count: index * 1500 })) },
  validations: { total: 30, successful: 20, failed: 10, byCode: { EXPIRED: 10, VALID: 20 } },
  seats: [{ ...pro, used: 2, policyName: 'Free, "for all"', max: null, limit: null, over: 0 }, pro],
  topLicenses: [{ key: id, label: '=Ada\u001b[2J', value: 12 }],
  asOf: new Date('2026-01-02T10:30:00.250Z'),
};

describe('an overview', () => {
  it('has a chart for each section, what is most first, and says how fresh it is', () => {
    const text = describeAnalytics(analytics, canvas);
    expect(text.match(/^[A-Z].*$/gm)?.filter((line) => !/^(EXPIRED|VALID |Pro|Free)/.test(line))).toEqual([
      'LICENSES  6',
      'MACHINES  5',
      'ACTIVATIONS OF 7 DAYS  1,500',
      'VALIDATIONS  30, 20 successful, 10 failed',
      'SEATS BY POLICY  5',
      'TOP LICENSES OF THIS MONTH, BY VALIDATIONS',
    ]);
    expect(text).toMatch(/^active +█{40,} +4$/m);
    expect(text).toMatch(/^trial +█{20,}.? +2\nexpiring {2}1 within 7 days, 3 within 30$/m);
    expect(text).toMatch(/^VALID +█+ +20\nEXPIRED +█+.? +10$/m);
    expect(text).toMatch(/^Pro +█+.? +3 of 4, 1 over\nFree, "for all" +2 of any number$/m);
    expect(text).toMatch(/^=Ada\?\[2J +█+ +12$/m);
    expect(text).toMatch(/\n\nas of 2026-01-02T10:30:00Z$/);
  });

  it('of a new account is one of zeros', () => {
    const none = { ...analytics, validations: { total: 0, successful: 0, failed: 0, byCode: {} }, seats: [], topLicenses: [] };
    expect(describeAnalytics(none, canvas).match(/\nnone/g)).toHaveLength(3);
  });

  it('has a row for each number, by section and name', () => {
    const rows = rowsOfAnalytics(analytics);
    expect(rows[0]).toEqual(['section', 'name', 'value']);
    expect(new Set(rows.map((row) => row.length))).toEqual(new Set([3]));
    for (const row of [
      ['analytics', 'asOf', '2026-01-02T10:30:00.250Z'],
      ['licenses', 'expiringIn30Days', 3],
      ['machines', 'dead', 1],
      ['activations', '2026-01-02', 1500],
      ['validations', 'failed', 10],
      ['validationsByCode', 'EXPIRED', 10],
      ['seatsUsed', 'Pro', 3],
      ['seatsLimit', 'Free, "for all"', ''],
      ['topLicenses', '=Ada\u001b[2J', 12],
    ])
      expect(rows).toContainEqual(row);
  });
});

describe('a time series', () => {
  const days = (count: number) =>
    Array.from({ length: count }, (_, day) => ({
      start: new Date(Date.UTC(2026, 0, 1 + day)),
      value: day * 10,
      groups: { VALID: day * 9, EXPIRED: day },
    }));

  it('has a line, a bar for each bucket, and its groups', () => {
    expect(describeTimeseries(days(3), { metric: 'validations', interval: 'day' }, { ...canvas, width: 30 }).split('\n')).toEqual([
      'validations by day, 2026-01-01 to 2026-01-03 (UTC): 30',
      '',
      '·▄█',
      '',
      '2026-01-01                   0',
      '2026-01-02  ███████         10',
      '2026-01-03  ██████████████  20',
      '',
      'VALID    █████████████████  27',
      'EXPIRED  █▉                  3',
    ]);
    expect(rowsOfTimeseries(days(2)).slice(0, 4)).toEqual([
      ['start', 'group', 'value'],
      ['2026-01-01T00:00:00.000Z', '', 0],
      ['2026-01-01T00:00:00.000Z', 'VALID', 0],
      ['2026-01-01T00:00:00.000Z', 'EXPIRED', 0],
    ]);
  });

  it('names its groups where they are ids, and two of one name by their ids', () => {
    const points = [{ start: new Date(0), value: 6, groups: { [id]: 3, a: 2, b: 1 } }];
    const names = new Map([
      [id, 'Pro'],
      ['a', 'Free'],
      ['b', 'Free'],
    ]);
    expect(describeTimeseries(points, { metric: 'validations', interval: 'day', names }, canvas)).toMatch(/\nPro .* 3\na .* 2\nb .* 1$/);
  });

  it('that is long is told by the line, and what there is at a time by its end', () => {
    const text = describeTimeseries(days(365), { metric: 'active_machines', interval: 'hour' }, canvas);
    expect(text.split('\n')[0]).toBe('active_machines by hour, 2026-01-01 00:00 to 2026-12-31 00:00 (UTC): 3,640 at the end');
    expect(text).not.toContain('\n2026');
    expect(text).toMatch(/^VALID +█+ +3,276$/m);
  });
});
