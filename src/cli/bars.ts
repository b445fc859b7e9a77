import { lengthOf, printable } from './output.js';

/** What is drawn on: a terminal, or a file, which has no colours and a width of its own. */
export interface Canvas {
  /** In characters. */
  width: number;
  isColoured: boolean;
}

/** A line of a chart: its bar is as long as `share` says, from 0 to 1; more is 1. */
export interface Bar {
  name: string;
  share: number;
  /** What stands behind the bar. */
  text: string;
}

const FILE_WIDTH = 80;
const WIDEST = 100;
/** Less than this says nothing. */
const SHORTEST_BAR = 6;
const SHORTEST_NAME = 8;
/** Half of an id names nothing. */
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const GAP = '  ';
const FULL = '█';
/** Eighths of a character, from one to seven. */
const EIGHTHS = ['▏', '▎', '▍', '▌', '▋', '▊', '▉'];
const LEVELS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const NOTHING = '·';

/**
 * Where this command prints: colours only for a terminal that shows them, and not for whoever does not want them
 * (https://no-color.org). A width that is set in COLUMNS (POSIX, "Environment Variables") is obeyed, whatever is printed on.
 */
export function canvasOf(
  stream: { isTTY?: boolean; columns?: number },
  environment: { NO_COLOR?: string; TERM?: string; COLUMNS?: string } = process.env,
): Canvas {
  const isTerminal = stream.isTTY === true;
  const isColoured = isTerminal && (environment.NO_COLOR ?? '') === '' && environment.TERM !== 'dumb';
  const wanted = /^[1-9]\d{0,3}$/.test(environment.COLUMNS ?? '') ? Number(environment.COLUMNS) : null;
  if (wanted !== null) return { width: wanted, isColoured };
  const columns = stream.columns ?? 0;
  // A terminal that does not know how wide it is says 0.
  return { width: isTerminal && columns > 0 ? Math.min(columns, WIDEST) : FILE_WIDTH, isColoured };
}

/** Bars of counts, the longest for the greatest; the numbers in full. */
export function barsOf(counts: readonly (readonly [name: string, count: number])[], canvas: Canvas): string {
  const greatest = Math.max(0, ...counts.map(([, count]) => count));
  return bars(
    counts.map(([name, count]) => ({ name, share: greatest === 0 ? 0 : count / greatest, text: number(count) })),
    canvas,
  );
}

/**
 * A line for each: its name, its bar, its text, each under one another. What is more than nothing has a bar that is seen. Where
 * there is no room names are cut and then bars left out, never what stands behind them, nor ids.
 */
export function bars(lines: readonly Bar[], { width, isColoured }: Canvas): string {
  const names = lines.map(({ name }) => printable(name));
  const textWidth = Math.max(0, ...lines.map(({ text }) => lengthOf(text)));
  const longestName = Math.max(0, ...names.map(lengthOf));
  const shortestName = Math.max(SHORTEST_NAME, ...names.filter((name) => ID.test(name)).map(lengthOf));
  const nameBeside = (room: number): number => Math.min(longestName, Math.max(shortestName, room));
  const room = width - nameBeside(Math.floor(width / 2)) - textWidth - 2 * GAP.length;
  const barWidth = room < SHORTEST_BAR ? 0 : room;
  const nameWidth = nameBeside(barWidth === 0 ? width - textWidth - GAP.length : Math.floor(width / 2));
  return lines
    .map(({ share, text }, index) => {
      const name = cut(names[index] ?? '', nameWidth);
      const drawn = barWidth === 0 ? [] : [painted(bar(share, barWidth), barWidth, isColoured)];
      return [name.padEnd(nameWidth + name.length - lengthOf(name)), ...drawn, text.padStart(textWidth)].join(GAP);
    })
    .join('\n');
}

/**
 * A character for each value, as high as it is beside the greatest; more values than fit are drawn as the greatest of each few.
 * None has a dot.
 */
export function sparkline(values: readonly number[], { width, isColoured }: Canvas): string {
  const perCharacter = Math.max(1, Math.ceil(values.length / Math.max(1, width)));
  const drawn = Array.from({ length: Math.ceil(values.length / perCharacter) }, (_, index) =>
    Math.max(...values.slice(index * perCharacter, (index + 1) * perCharacter)),
  );
  const greatest = Math.max(0, ...drawn);
  const line = drawn.map((value) => (value <= 0 ? NOTHING : LEVELS[Math.ceil((value / greatest) * LEVELS.length) - 1])).join('');
  return coloured(line, isColoured);
}

/** With commas between the thousands. */
export function number(count: number): string {
  return count.toLocaleString('en', { maximumFractionDigits: 0 });
}

function bar(share: number, width: number): string {
  if (!(share > 0)) return '';
  const eighths = Math.max(1, Math.round(Math.min(1, share) * width * 8));
  return FULL.repeat(Math.floor(eighths / 8)) + (EIGHTHS[(eighths % 8) - 1] ?? '');
}

/** The spaces behind it have no colour: a terminal would underline or fill them. */
function painted(drawn: string, width: number, isColoured: boolean): string {
  return coloured(drawn, isColoured) + ' '.repeat(width - drawn.length);
}

function coloured(text: string, isColoured: boolean): string {
  return isColoured && text !== '' ? `\u001b[36m${text}\u001b[39m` : text;
}

function cut(name: string, width: number): string {
  const characters = Array.from(name);
  return characters.length <= width ? name : `${characters.slice(0, width - 1).join('')}…`;
}
