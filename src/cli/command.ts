import { type Command, type CommandOptions, Option } from 'commander';
import { type Outcome, print } from './output.js';

/** A command of a group; each answers with `--json` too. */
export function command(group: Command, name: string, description: string, options: CommandOptions = {}): Command {
  return group.command(name, options).description(description).option('--json', 'print one JSON document');
}

/** One that works on an account. */
export function accountCommand(group: Command, name: string, description: string, options: CommandOptions = {}): Command {
  return command(group, name, description, options).requiredOption('--account <account>', 'slug or id of the account');
}

export function userCommand(group: Command, name: string, description: string): Command {
  return accountCommand(group, name, description).requiredOption('--user <id>', 'id of the user, as `users list` shows it');
}

/** One that works on an account's environment. */
export function tenantCommand(group: Command, name: string, description: string, options: CommandOptions = {}): Command {
  return accountCommand(group, name, description, options).addOption(
    new Option('--environment <environment>', 'which of its environments').choices(['live', 'test']).makeOptionMandatory(),
  );
}

export function licenseCommand(group: Command, name: string, description: string): Command {
  return tenantCommand(group, name, description).argument('<id>', 'id of the license, as `licenses list` shows it');
}

export function quiet(): Option {
  return new Option('--quiet', 'print the key and nothing else').conflicts('json');
}

export function asCsv(columns: string): Option {
  return new Option('--csv', `print CSV (RFC 4180): ${columns}`).conflicts('json');
}

/** Empty items stay, and are refused as scopes: `--scopes "$UNSET"` must not become full access. */
export function commaList(text: string): string[] {
  return text.split(',').map((item) => item.trim());
}

export function collect(value: string, earlier: string[] = []): string[] {
  return [...earlier, value];
}

/** The action of a command: print what the work answers, or why it was not done. */
export function perform(work: (...given: never[]) => Promise<Outcome>) {
  return async (...given: unknown[]): Promise<void> => {
    // Commander adds the command itself after its arguments and options.
    const json = (given.at(-1) as Command).opts().json === true;
    try {
      print(await work(...(given.slice(0, -1) as never[])), json);
    } catch (error) {
      (await import('./failure.js')).reportFailure(error, json);
    }
  };
}
