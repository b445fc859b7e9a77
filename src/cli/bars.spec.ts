import { describe, expect, it } from '@jest/globals';
import { bars, barsOf, canvasOf, sparkline } from './bars.js';
import { csv } from './csv.js';
import { lengthOf } from './output.js';

const plain = { width: 30, isColoured: false };
const lines = (text: string): string[] => text.split('\n');

describe('bars', () => {
  it('are as long as what they stand for, each line as wide as there is room', () => {
    expect(
      lines(
        barsOf(
          [
            ['active', 1000],
            ['expired', 500],
            ['banned', 1],
            ['trial', 0],
          ],
          plain,
        ),
      ),
    ).toEqual([
      'active   ██████████████  1,000',
      'expired  ███████           500',
      'banned   ▏                   1',
      'trial                        0',
    ]);
  });

  it('say nothing of nothing', () => {
    expect(barsOf([], plain)).toBe('');
    expect(lines(barsOf([['total', 0]], plain))).toEqual(['total                        0']);
  });

  it.each([200, 80, 40, 30, 20, 10, 1])('never leave out a number, and are no wider than %i where that can be', (width) => {
    const greatest = Number.MAX_SAFE_INTEGER;
    const drawn = lines(
      barsOf(
        [
          ['a-name-that-is-rather-long-for-a-chart', greatest],
          ['b', 1],
          ['', 0],
        ],
        { ...plain, width },
      ),
    );
    expect(drawn.map((line) => /[\d,]+$/.exec(line)?.[0])).toEqual(['9,007,199,254,740,991', '1', '0']);
    const smallest = 8 + 2 + '9,007,199,254,740,991'.length;
    expect(Math.max(...drawn.map(lengthOf))).toBeLessThanOrEqual(Math.max(width, smallest));
  });

  it('cut no id, beside which there is a bar on 80 columns', () => {
    const id = '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e';
    for (const width of [80, 40, 20]) expect(barsOf([[id, 1]], { ...plain, width })).toContain(`${id}  `);
    expect(barsOf([[id, 1_000_000]], { ...plain, width: 80 })).toMatch(/ █{20,} /);
  });

  it('keep to their room whatever the share is', () => {
    const shares = [Infinity, 2, 1, 0.5, 1e-9, 0, -1, NaN];
    const drawn = lines(
      bars(
        shares.map((share) => ({ name: 'seats', share, text: '' })),
        plain,
      ),
    );
    expect(drawn.map((line) => (line.match(/[█-▏]/g) ?? []).length)).toEqual([21, 21, 21, 11, 1, 0, 0, 0]);
  });

  it('show no name that a terminal would obey', () => {
    expect(barsOf([['a\u001b[2Jb\nc', 1]], plain)).toBe('a?[2Jb?c  █████████████████  1');
  });
});

describe('a sparkline', () => {
  it('has a level for each value, a dot for none, and fits', () => {
    expect(sparkline([0, 1, 4, 8, 800, 400], plain)).toBe('·▁▁▁█▄');
    expect(sparkline([], plain)).toBe('');
    expect(
      sparkline(
        Array.from({ length: 365 }, (_, day) => (day === 364 ? 9 : 0)),
        plain,
      ),
    ).toBe('····························█');
  });
});

describe('colours', () => {
  it('are for a terminal that shows them and whoever wants them', () => {
    const terminal = { isTTY: true, columns: 72 };
    expect(canvasOf(terminal, { TERM: 'xterm' })).toEqual({ width: 72, isColoured: true });
    expect(canvasOf(terminal, { NO_COLOR: '1' })).toEqual({ width: 72, isColoured: false });
    expect(canvasOf(terminal, { NO_COLOR: '' }).isColoured).toBe(true);
    expect(canvasOf(terminal, { TERM: 'dumb' }).isColoured).toBe(false);
    expect(canvasOf({}, { COLUMNS: '132' })).toEqual({ width: 132, isColoured: false });
    expect(canvasOf(terminal, { COLUMNS: '60' }).width).toBe(60);
    for (const COLUMNS of ['', '0', '-1', 'wide', '99999']) expect(canvasOf({}, { COLUMNS }).width).toBe(80);
    expect(canvasOf({}, {})).toEqual({ width: 80, isColoured: false });
    expect(canvasOf({ isTTY: true, columns: 0 }, {}).width).toBe(80);
    expect(canvasOf({ isTTY: true, columns: 400 }, {}).width).toBe(100);
  });

  it('are of the bars alone, which are as long as without', () => {
    const counts = [
      ['active', 3],
      ['none', 0],
    ] as const;
    const drawn = barsOf(counts, { ...plain, isColoured: true });
    expect(drawn).toContain('\u001b[36m█');
    expect(drawn.replace(/\u001b\[\d+m/g, '')).toBe(barsOf(counts, plain));
  });
});

describe('CSV', () => {
  it('is as RFC 4180 has it, and nothing in it is computed', () => {
    const rows = [
      ['section', 'name', 'value'],
      ['top', 'a "b", c\r\nd', 5],
      ['top', '=HYPERLINK("x")', -1],
      ['top', '+1', 0],
    ];
    expect(csv(rows)).toBe(`section,name,value\r\ntop,"a ""b"", c\r\nd",5\r\ntop,"'=HYPERLINK(""x"")",-1\r\ntop,'+1,0\r\n`);
  });
});
