import { Command, CommanderError, Help, Option } from 'commander';
import { VERSION } from '../core/version.js';
import type { CreateAccountOptions } from './accounts.js';
import type { AnalyticsOptions, TimeseriesOptions } from './analytics.js';
import type { RebuildOptions } from './analytics-rebuild.js';
import {
  accountCommand,
  asCsv,
  collect,
  commaList,
  command,
  licenseCommand,
  perform,
  quiet,
  tenantCommand,
  userCommand,
} from './command.js';
import type { TailOptions } from './events.js';
import type { AuditKeysOptions, CreateKeyOptions, RotateKeyOptions, TenantOptions } from './keys.js';
import type { ExportOptions, ImportOptions } from './license-files.js';
import type { CreateLicenseOptions, ListLicensesOptions, PlainAction, RotateLicenseKeyOptions, ValidateOptions } from './licenses.js';
import { USAGE } from './output.js';
import type { AccountOptions, AddUserOptions, CreateUserKeyOptions, UserOptions } from './users.js';

/** Does what the words of a command line say; `process.exitCode` tells how it ended. */
export async function run(words: readonly string[]): Promise<void> {
  try {
    await createProgram().parseAsync(words, { from: 'user' });
  } catch (error) {
    // Commander has said already what is wrong; help and version end this way too.
    if (!(error instanceof CommanderError)) throw error;
    process.exitCode = error.exitCode === 0 ? 0 : USAGE;
  }
}

/**
 * The `latchkey` command: its syntax. What a command does is loaded only when it is given, so that help and mistakes
 * are answered at once.
 */
function createProgram(): Command {
  const help = new Help();
  const program = new Command('latchkey')
    .description("Latchkey's command line. It works on the database of the settings, whether or not the server is running.")
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show what a command does and takes')
    .helpCommand('help [command]', 'show what a command does and takes')
    // `licenses validate` has a --version of its own.
    .enablePositionalOptions()
    .configureHelp({ optionDescription: (option) => `${help.optionDescription(option)}${option.mandatory ? ' (required)' : ''}` })
    .showHelpAfterError('(--help shows what the command takes)')
    .exitOverride();
  addAccounts(program.command('accounts').description('vendors: create, list, suspend and reinstate'));
  addUsers(program.command('users').description('people of a vendor: list, add and remove; and their keys'));
  addKeys(program.command('keys').description('API keys: create, list, rotate, revoke and audit'));
  addLicenses(
    program.command('licenses').description('licenses: create, show, list, validate, import, export, and what can be done to them'),
  );
  addEvents(program.command('events').description('events: follow them as they happen, over HTTP'));
  const analytics = program
    .command('analytics')
    .description('analytics: an overview, what happened over time, and making the numbers anew');
  addAnalytics(analytics);
  addRebuild(analytics);
  addMasterKey(program.command('master-key').description('the master key: rotate and status'));
  addDatabase(program.command('db').description('the database: migrate and status'));
  return program;
}

function addAccounts(accounts: Command): void {
  command(accounts, 'create', 'create an account, and print a full-access API key for each environment, once')
    .requiredOption('--name <name>', 'name of the vendor')
    .requiredOption('--slug <slug>', 'short name, unique in the installation; lower case')
    .requiredOption('--email <address>', 'where the owner is reached')
    .action(perform(async (options: CreateAccountOptions) => (await import('./accounts.js')).createAccount(options)));
  command(accounts, 'list', 'list every account, newest first').action(perform(async () => (await import('./accounts.js')).listAccounts()));
  for (const [action, description] of [
    ['suspend', "refuse an account's keys and users; its customers' licenses go on"],
    ['reinstate', 'lift a suspension'],
  ] as const) {
    command(accounts, action, description)
      .argument('<account>', 'slug or id of the account')
      .action(perform(async (account: string) => (await import('./accounts.js')).setAccountState(action, account)));
  }
}

function addUsers(users: Command): void {
  accountCommand(users, 'list', "list an account's users, newest first").action(
    perform(async (options: AccountOptions) => (await import('./users.js')).listUsers(options)),
  );
  accountCommand(users, 'add', 'add a user to an account')
    .requiredOption('--email <address>', 'address of the user, unique in the account')
    .requiredOption('--name <name>', 'what the user is called')
    .requiredOption('--role <role>', 'owner, admin, developer, support or read-only')
    .option('--user <id>', 'id of a user of another account; absent = somebody new')
    .action(perform(async (options: AddUserOptions) => (await import('./users.js')).addUser(options)));
  userCommand(users, 'remove', 'remove a user from an account, and revoke the keys that were made there').action(
    perform(async (options: UserOptions) => (await import('./users.js')).removeUser(options)),
  );
  addUserKeys(users.command('key').description("users' own keys: create, list and revoke"));
}

function addUserKeys(keys: Command): void {
  userCommand(keys, 'create', 'create a key of a user and print it, once')
    .requiredOption('--name <name>', 'what the key is for')
    .option('--expires-at <time>', 'when the key ends, like 2027-01-15T10:30:00Z; absent = never')
    .addOption(quiet())
    .action(perform(async (options: CreateUserKeyOptions) => (await import('./users.js')).createUserKey(options)));
  userCommand(keys, 'list', "list a user's keys, newest first, revoked ones too").action(
    perform(async (options: UserOptions) => (await import('./users.js')).listUserKeys(options)),
  );
  userCommand(keys, 'revoke', 'revoke a key of a user, at once and for good')
    .argument('<id>', 'id of the key, as `users key list` shows it')
    .action(perform(async (id: string, options: UserOptions) => (await import('./users.js')).revokeUserKey(id, options)));
}

function addKeys(keys: Command): void {
  tenantCommand(keys, 'create', 'create an API key and print it, once')
    .requiredOption('--name <name>', 'what the key is for')
    .option('--scopes <list>', 'comma list of what the key may do; absent = full access', commaList)
    .addOption(new Option('--preset <preset>', 'shorthand for scopes: full, read-only, webhooks or validation').conflicts('scopes'))
    .option('--expires-at <time>', 'when the key ends, like 2027-01-15T10:30:00Z; absent = never')
    .option('--allowed-ips <list>', 'comma list of addresses and CIDR ranges that it may be used from; absent = anywhere', commaList)
    .option('--rate-limit <number>', "requests a minute; absent = the installation's default")
    .option('--service <name>', 'make it a service account of this name')
    .addOption(quiet())
    .action(perform(async (options: CreateKeyOptions) => (await import('./keys.js')).createKey(options)));
  tenantCommand(keys, 'list', "list an environment's API keys, newest first, revoked ones too").action(
    perform(async (options: TenantOptions) => (await import('./keys.js')).listKeys(options)),
  );
  tenantCommand(keys, 'rotate', 'replace an API key by one with the same grants, and print that, once')
    .argument('<id>', 'id of the key, as `keys list` shows it')
    .option('--overlap-seconds <number>', 'for how long the old key keeps working: 0 to 2592000; absent = 86400, a day')
    .addOption(quiet())
    .action(perform(async (id: string, options: RotateKeyOptions) => (await import('./keys.js')).rotateKey(id, options)));
  tenantCommand(keys, 'revoke', 'revoke an API key, at once and for good')
    .argument('<id>', 'id of the key, as `keys list` shows it')
    .action(perform(async (id: string, options: TenantOptions) => (await import('./keys.js')).revokeKey(id, options)));
  accountCommand(keys, 'audit', 'list every API key that works, with what to act on')
    .addOption(new Option('--environment <environment>', 'one of its environments; absent = both').choices(['live', 'test']))
    .action(perform(async (options: AuditKeysOptions) => (await import('./keys.js')).auditKeys(options)));
}

/** Each takes nothing but the license. */
const plainActions: [PlainAction, string][] = [
  ['suspend', 'suspend a license until it is reinstated'],
  ['reinstate', 'lift a suspension'],
  ['ban', 'ban a license until it is unbanned'],
  ['unban', 'lift a ban'],
  ['revoke', 'revoke a license, for good'],
  ['renew', 'renew a license by one term of its policy'],
  ['check-in', 'check a license in'],
];

function addLicenses(licenses: Command): void {
  tenantCommand(licenses, 'create', 'create a license and print it with its key')
    .requiredOption('--product <id>', 'the product that it is for')
    .requiredOption('--policy <id>', 'the policy that it follows')
    .option('--key <key>', "a key of the vendor's own; absent = one is generated")
    .option('--name <name>', 'name of the license, for people')
    .option('--email <address>', "its user's address")
    .option('--user-name <name>', "its user's name")
    .option('--expires-at <time>', "when it ends, like 2027-01-15T10:30:00Z; absent = what the policy's term says")
    .option('--entitlement <code>', 'an entitlement of its own; may be given several times', collect)
    .addOption(quiet())
    .action(perform(async (options: CreateLicenseOptions) => (await import('./licenses.js')).createLicense(options)));
  licenseCommand(licenses, 'show', 'print a license').action(
    perform(async (id: string, options: TenantOptions) => (await import('./licenses.js')).showLicense(id, options)),
  );
  tenantCommand(licenses, 'list', "list an environment's licenses, newest first")
    .option('--status <status>', 'only those that are active, expired, suspended, revoked or banned')
    .option('--product <id>', 'only those of this product')
    .option('--policy <id>', 'only those of this policy')
    .option('--email <address>', "only those of this user's address")
    .option('--q <text>', "only those whose name, user's name or address contains this")
    .action(perform(async (options: ListLicensesOptions) => (await import('./licenses.js')).listLicenses(options)));
  addValidation(licenses);
  addLicenseActions(licenses);
}

function addLicenseActions(licenses: Command): void {
  for (const [action, description] of plainActions) {
    licenseCommand(licenses, action, description).action(
      perform(async (id: string, options: TenantOptions) => (await import('./licenses.js')).actOnLicense(action, id, options)),
    );
  }
  licenseCommand(licenses, 'transfer', 'move a license to another policy')
    .requiredOption('--policy <id>', 'the policy to follow from now on')
    .action(
      perform(async (id: string, options: TenantOptions & { policy: string }) =>
        (await import('./licenses.js')).transferLicense(id, options),
      ),
    );
  licenseCommand(licenses, 'usage', 'count uses of a license')
    .requiredOption('--increment <number>', 'how many; with a minus, down')
    .action(
      perform(async (id: string, options: TenantOptions & { increment: string }) =>
        (await import('./licenses.js')).countUsage(id, options),
      ),
    );
  licenseCommand(licenses, 'rotate-key', 'replace the key of a license, and print the license with the new one')
    .option('--overlap-seconds <number>', 'for how long the old key goes on working: 0 to 2592000; absent = 86400, a day')
    .option('--key <key>', "a key of the vendor's own; absent = one is generated")
    .addOption(quiet())
    .action(perform(async (id: string, options: RotateLicenseKeyOptions) => (await import('./licenses.js')).rotateLicenseKey(id, options)));
}

function addValidation(licenses: Command): void {
  command(licenses, 'validate', 'ask what the software asks: may this copy run? Exit code 0 = yes, 1 = no')
    .argument('<key>', 'the license key')
    .option('--account <account>', 'id or slug of the account; needed for a key that the vendor chose')
    .option('--fingerprint <fingerprint>', 'the machine that asks; may be given several times', collect)
    .option('--product <product>', 'id or code of the product that asks')
    .option('--version <version>', 'version of the software that asks')
    .option('--entitlement <code>', 'an entitlement that the license must have; may be given several times', collect)
    .action(perform(async (key: string, options: ValidateOptions) => (await import('./licenses.js')).validateLicense(key, options)));
  tenantCommand(licenses, 'import', 'make licenses out of a CSV or NDJSON file. Exit code 1 when a row failed')
    .argument('<file>', 'path of the file')
    .addOption(new Option('--format <format>', "what the file is; absent = as its name's end says").choices(['csv', 'ndjson']))
    .option('--dry-run', 'decide about every row, and change nothing')
    .action(perform(async (file: string, options: ImportOptions) => (await import('./license-files.js')).importLicenses(file, options)));
  tenantCommand(licenses, 'export', 'print every license as NDJSON, with keys, states and machines: what import takes')
    .option('--output <file>', 'where to write it; absent = the standard output')
    .action(perform(async (options: ExportOptions) => (await import('./license-files.js')).exportLicenses(options)));
}

function addEvents(events: Command): void {
  events
    .command('tail')
    .description("print a server's events as they happen, until Ctrl-C. Exit code 1 when the server refuses")
    .option('--url <url>', 'where the server is; absent = the variable LATCHKEY_URL, or http://127.0.0.1:3000')
    .option('--api-key <key>', 'a key with events:read; absent = the variable LATCHKEY_API_KEY, where no list of processes shows it')
    .option('--types <list>', 'comma list of types, and prefixes like license.*; absent = all but those of high volume')
    .option('--since <event id>', 'begin behind this event; absent = now')
    .option('--json', 'print one JSON document a line, as the API has it')
    .action(perform(async (options: TailOptions) => (await import('./events.js')).tailEvents(options)));
}

function addAnalytics(analytics: Command): void {
  const whatThereIs = 'licenses by status, machines, activations, validations, seats and top licenses; what is shown unless told otherwise';
  tenantCommand(analytics, 'overview', whatThereIs, { isDefault: true })
    .addOption(asCsv('section,name,value'))
    .action(perform(async (options: AnalyticsOptions) => (await import('./analytics.js')).showOverview(options)));
  tenantCommand(analytics, 'timeseries', 'how many of something there were, hour by hour, or by day, week or month (UTC)')
    .requiredOption('--metric <metric>', 'validations, activations, deactivations, licenses_created, licenses_expired or active_machines')
    .option('--interval <interval>', 'hour, day, week or month; absent = day')
    .option('--from <time>', 'since when, like 2027-01-15T00:00:00Z; absent = 30 days before the end')
    .option('--to <time>', 'until when; absent = now')
    .option('--group-by <dimension>', 'also by code, productId, policyId, platform or version')
    .addOption(asCsv('start,group,value'))
    .action(perform(async (options: TimeseriesOptions) => (await import('./analytics.js')).showTimeseries(options)));
}

function addRebuild(analytics: Command): void {
  command(
    analytics,
    'rebuild',
    'make anew what can be told from licenses and machines as they are; validations and expiries stay as counted',
  )
    .option('--account <account>', 'slug or id of the account; absent = every account')
    .addOption(new Option('--environment <environment>', 'which of its environments; absent = both').choices(['live', 'test']))
    .addHelpText(
      'after',
      `
Servers go on. Until an environment is done, dashboards show its old numbers; meanwhile new ones are kept up for nobody, and caught
up with afterwards.`,
    )
    .action(perform(async (options: RebuildOptions) => (await import('./analytics-rebuild.js')).rebuildAnalytics(options)));
}

function addMasterKey(masterKey: Command): void {
  command(masterKey, 'rotate', 'seal everything anew under MASTER_KEY, or under a new key of the data directory; interrupted, run it again')
    .addHelpText(
      'after',
      `
With MASTER_KEY set, servers go on working:
  1. give every server the new key in MASTER_KEYS_READABLE
  2. then make the new key MASTER_KEY, and put the old one into MASTER_KEYS_READABLE, on every server
  3. when no server has the old one as MASTER_KEY any more, run this with the settings of the second step
  4. take the old key away
Without, the key lies in DATA_DIR: stop the server, run this, start it again.`,
    )
    .action(perform(async () => (await import('./master-key.js')).rotateMasterKey()));
  command(
    masterKey,
    'status',
    'tell which keys there are and what is sealed under each. Exit code 1 when anything is under another than the one that seals',
  ).action(perform(async () => (await import('./master-key-status.js')).masterKeyStatus()));
}

function addDatabase(database: Command): void {
  command(database, 'migrate', 'bring the schema up to date').action(perform(async () => (await import('./database.js')).migrate()));
  command(database, 'status', 'list migrations by state. Exit code 1 when one is pending or failed').action(
    perform(async () => (await import('./database.js')).status()),
  );
}
