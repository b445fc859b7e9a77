import { parseArgs } from 'node:util';

/** What a run can be told, each as `--licenses 2000` or `BENCH_LICENSES=2000`. */
const settings = {
  licenses: { initial: 200_000, help: 'licenses in the database' },
  machines: { initial: 2, help: 'machines of each license' },
  accounts: { initial: 250, help: 'accounts, each with 8 policies, that the licenses are spread over' },
  connections: { initial: 32, help: 'connections that ask at the same time' },
  seconds: { initial: 8, help: 'length of one measurement' },
  'warm-up': { initial: 4, help: 'seconds of load before the first measurement' },
  rounds: { initial: 3, help: 'measurements of each target' },
};

/** Options of the run, or null after the help was asked for. */
export function readOptions(args, environment) {
  const names = Object.keys(settings);
  const { values } = parseArgs({
    args,
    options: {
      ...Object.fromEntries(names.map((name) => [name, { type: 'string' }])),
      'cpu-prof': { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) return null;
  const numbers = names.map((name) => [name, wholeNumber(name, values[name] ?? environment[variableOf(name)] ?? settings[name].initial)]);
  return { ...Object.fromEntries(numbers), profileDir: values['cpu-prof'] };
}

/** The help text. */
export function usage() {
  const lines = Object.entries(settings).map(
    ([name, { initial, help }]) => `  --${name.padEnd(12)} ${variableOf(name).padEnd(18)} ${help} (${initial.toLocaleString('en')})`,
  );
  return [
    'npm run bench -- [options]',
    ...lines,
    `  --${'cpu-prof'.padEnd(12)} ${' '.repeat(18)} directory for CPU profiles of validate-key's and the naive server`,
    '',
  ].join('\n');
}

function variableOf(name) {
  return `BENCH_${name.toUpperCase().replaceAll('-', '_')}`;
}

function wholeNumber(name, given) {
  const number = Number(given);
  if (!Number.isInteger(number) || number < 1) throw new Error(`--${name} must be a whole number from 1 on, not ${String(given)}`);
  return number;
}
