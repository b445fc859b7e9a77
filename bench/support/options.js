import { parseArgs } from 'node:util';

/**
 * What a run can be told. `numbers` is a table of `{ initial, help }`, each given as `--name 5` or `BENCH_NAME=5`;
 * `texts` one of `{ help }`, as `--name text`.
 */

/** The options of the run; null when there is nothing to run: help was asked for, or (exit code 2) needed. */
export function readOptionsOrTell(definition) {
  try {
    const options = readOptions(definition, process.argv.slice(2), process.env);
    if (options === null) process.stdout.write(usage(definition));
    return options;
  } catch (error) {
    process.stderr.write(`${error.message}\n\n${usage(definition)}`);
    process.exitCode = 2;
    return null;
  }
}

function readOptions({ numbers, texts }, args, environment) {
  const names = [...Object.keys(numbers), ...Object.keys(texts)];
  const { values } = parseArgs({
    args,
    options: { ...Object.fromEntries(names.map((name) => [name, { type: 'string' }])), help: { type: 'boolean' } },
  });
  if (values.help === true) return null;
  const given = Object.entries(numbers).map(([name, { initial }]) => [
    name,
    wholeNumber(name, values[name] ?? environment[variableOf(name)] ?? initial),
  ]);
  return { ...values, ...Object.fromEntries(given) };
}

function usage({ command, numbers, texts }) {
  const ofNumbers = Object.entries(numbers).map(([name, { initial, help }]) =>
    line(name, variableOf(name), `${help} (${initial.toLocaleString('en')})`),
  );
  const ofTexts = Object.entries(texts).map(([name, { help }]) => line(name, '', help));
  return [`${command} -- [options]`, ...ofNumbers, ...ofTexts, ''].join('\n');
}

function line(name, variable, help) {
  return `  --${name.padEnd(12)} ${variable.padEnd(18)} ${help}`;
}

function variableOf(name) {
  return `BENCH_${name.toUpperCase().replaceAll('-', '_')}`;
}

function wholeNumber(name, given) {
  const number = Number(given);
  if (!Number.isInteger(number) || number < 1) throw new Error(`--${name} must be a whole number from 1 on, not ${String(given)}`);
  return number;
}
