import { resolve } from 'node:path';
import { isIP } from 'node:net';
import { z } from 'zod';

/**
 * The environment, read once and typed (contract: operations.md). A variable that is misspelt, malformed or missing
 * stops the boot with one line per problem. `.env.example` is checked against this table by a test.
 */

const flag = z.enum(['true', 'false']).transform((text) => text === 'true');
const count = (min: number, max: number) =>
  z.string().regex(/^\d+$/, 'must be a whole number').transform(Number).pipe(z.number().min(min).max(max));
const list = z.string().transform((text) =>
  text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== ''),
);
const limit = (perMinute: string, what: string) => ({
  parse: count(0, 1_000_000),
  initial: perMinute,
  help: `requests a minute ${what}; 0 = off`,
});

interface Setting {
  parse: z.ZodType;
  /** The text that stands for an absent variable; undefined = none, the value is then undefined. */
  initial?: string;
  help: string;
  /** Accepted and checked, and without effect in this version: the boot says so when it is set. */
  unused?: true;
}

/** Of what OpenTelemetry has a variable of its own for, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT. */
const TRACES_PATH = /\/v1\/traces\/*($|[?#])/;

export const settings = {
  PORT: { parse: count(0, 65_535), initial: '3000', help: 'TCP port; 0 = any free one' },
  HOST: { parse: z.string().min(1), initial: '127.0.0.1', help: 'address to listen on' },
  DATABASE_URL: {
    parse: z.url({ protocol: /^postgres(ql)?$/ }),
    help: 'PostgreSQL 15 or newer; absent = the embedded database in DATA_DIR',
  },
  DATABASE_POOL_SIZE: { parse: count(3, 1000), initial: '10', help: 'connections of one process' },
  DATA_DIR: {
    parse: z
      .string()
      .min(1)
      .transform((path) => resolve(path)),
    initial: './.latchkey',
    help: 'embedded database and generated master key',
  },
  MASTER_KEY: {
    parse: z.string().refine(isMasterKey, 'must be 32 bytes in base64 (openssl rand -base64 32)'),
    help: 'encrypts and peppers what is at rest; generated in DATA_DIR when embedded, required with DATABASE_URL',
  },
  MASTER_KEYS_READABLE: {
    parse: list.refine((keys) => keys.every(isMasterKey), 'must be a comma list of keys of 32 bytes in base64 each'),
    initial: '',
    help: 'further master keys that open what is at rest, comma list: the one before or the next one, while the key is rotated',
  },
  PLATFORM_TOKEN: {
    parse: z.string().min(32, 'must have at least 32 characters'),
    help: "operator's token for platform routes; absent = they are closed",
  },
  OPEN_SIGNUP: { parse: flag, initial: 'false', help: 'whether anyone may create an account' },
  SEED_DEMO: { parse: flag, initial: 'true', help: 'whether the first start of an embedded database makes a demo account' },
  ROLE: {
    parse: z.enum(['all', 'api', 'worker']),
    initial: 'all',
    help: 'what this process does: api = answers requests, worker = delivers, sweeps and announces, all = both',
  },
  PROCESSES: {
    parse: z.string().regex(/^(auto|[1-9]\d*)$/, 'must be a number from 1 on, or auto'),
    initial: '1',
    help: 'HTTP processes on this machine',
    unused: true,
  },
  REDIS_URL: {
    parse: z.url({ protocol: /^rediss?$/ }),
    help: 'shares rate limits across instances; absent = each process counts by itself',
  },
  TRUSTED_PROXIES: {
    parse: list.refine((items) => items.every(isCidr), 'must be a comma list of addresses or CIDR ranges'),
    initial: '',
    help: 'proxies whose X-Forwarded-For is believed, as CIDR list',
  },
  CORS_ORIGINS: { parse: list, initial: '', help: 'origins whose browsers may call management routes' },
  LIMIT_VALIDATE_PER_MINUTE: limit('60', 'to validate-key, per license and address'),
  LIMIT_VALIDATE_UNKNOWN_PER_MINUTE: limit('20', 'to validate-key with unknown keys, per address'),
  LIMIT_ACTIVATE_PER_MINUTE: limit('10', 'to activate machines, per license'),
  LIMIT_AUTH_FAILURES_PER_MINUTE: limit('30', 'that fail to authenticate, per address'),
  LIMIT_MANAGEMENT_PER_MINUTE: limit('120', 'to management routes, per API key that has no limit of its own'),
  LIMIT_REPLAY_PER_MINUTE: limit('6', 'to replay events, per webhook endpoint'),
  LIMIT_PUBLIC_PER_MINUTE: limit('300', 'to public routes, per address'),
  EXPIRING_NOTICE_DAYS: { parse: count(1, 365), initial: '3', help: 'how long before its expiry a license is announced as expiring' },
  EVENT_RETENTION_DAYS: { parse: count(1, 3650), initial: '30', help: 'how long events and their deliveries are kept' },
  WEBHOOK_ALLOW_LOOPBACK: { parse: flag, initial: 'false', help: 'whether webhooks may go to this machine, also by http; for development' },
  WEBHOOK_RETRY_SCHEDULE: {
    parse: list.pipe(
      z
        .array(
          z
            .string()
            .regex(/^\d{1,7}$/, 'must be a comma list of whole seconds')
            .transform(Number),
        )
        .min(1)
        .max(50),
    ),
    initial: '0,5,300,1800,7200,18000,36000,50400,72000,86400',
    help: 'seconds before each try to deliver, comma list; as many tries as entries',
  },
  METRICS_TOKEN: {
    parse: z.string().min(16, 'must have at least 16 characters'),
    help: 'token for /metrics, needed from everywhere; absent = only for this machine itself. Behind any proxy set it: one on this machine may look like the machine',
  },
  FRONT_DOOR: {
    parse: flag,
    initial: 'true',
    help: 'whether plain heartbeats are answered before the framework; only their speed depends on it',
  },
  LOG_LEVEL: {
    parse: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']),
    initial: 'info',
    help: 'least severe level that is logged',
  },
  OTEL_EXPORTER_OTLP_ENDPOINT: {
    parse: z
      .url({ protocol: /^https?$/, error: 'must be an http or https URL, like http://collector:4318' })
      .refine((url) => !TRACES_PATH.test(url), 'must not end in /v1/traces: leave it out, it is added'),
    help: 'collector that traces go to by OTLP over HTTP, without /v1/traces; absent = nothing is traced',
  },
} as const satisfies Record<string, Setting>;

/** Of the time before a try (webhooks.md, "Delivery"). */
const LONGEST_JITTER = 1.2;
const SECONDS_PER_DAY = 86_400;

/** Prefixes that are ours alone: a variable with one of them that is no setting is a misspelling. */
const OUR_PREFIXES = [
  'LIMIT_',
  'WEBHOOK_',
  'DATABASE_',
  'MASTER_',
  'PLATFORM_',
  'METRICS_',
  'METRIC_',
  'SEED_',
  'TRUSTED_',
  'CORS_',
  'EXPIRING_',
  'EVENT_',
];

/** The settings in force; also the token under which Nest hands them out. */
export class Config {
  readonly port!: number;
  readonly host!: string;
  /** Undefined = embedded. */
  readonly databaseUrl?: string;
  readonly databasePoolSize!: number;
  readonly dataDir!: string;
  /** 32 bytes; undefined only before the embedded database's own key is read. */
  readonly masterKey?: Buffer;
  /** 32 bytes each: they open, and never seal. */
  readonly masterKeysReadable!: Buffer[];
  readonly platformToken?: string;
  readonly openSignup!: boolean;
  /** Whether this process answers requests, does the work behind them, or both. */
  readonly role!: 'all' | 'api' | 'worker';
  readonly seedDemo!: boolean;
  /** Undefined = rate limits are counted in this process alone. */
  readonly redisUrl?: string;
  readonly trustedProxies!: string[];
  readonly corsOrigins!: string[];
  readonly limitValidatePerMinute!: number;
  readonly limitValidateUnknownPerMinute!: number;
  readonly limitActivatePerMinute!: number;
  readonly limitAuthFailuresPerMinute!: number;
  readonly limitManagementPerMinute!: number;
  readonly limitReplayPerMinute!: number;
  readonly limitPublicPerMinute!: number;
  readonly expiringNoticeDays!: number;
  readonly eventRetentionDays!: number;
  readonly webhookAllowLoopback!: boolean;
  /** Seconds before each try; as many tries as entries. */
  readonly webhookRetryScheduleSeconds!: number[];
  /** Undefined = `/metrics` is for this machine alone. */
  readonly metricsToken?: string;
  readonly frontDoor!: boolean;
  readonly logLevel!: string;
  /** Base URL of the collector; undefined = nothing is traced. */
  readonly otelExporterOtlpEndpoint?: string;
  /** Names of variables that are set but have no effect yet. */
  readonly unused!: string[];
}

/** One line per problem, for the operator. */
export class ConfigError extends Error {
  constructor(readonly problems: string[]) {
    super(problems.join('\n'));
  }
}

type Environment = Record<string, string | undefined>;

/**
 * `file` is what `.env` says, where the environment says nothing. The file is ours: every name in it must be a setting.
 * @throws ConfigError listing every problem
 */
export function loadConfig(given: Environment, file: Environment = {}): Config {
  const environment = { ...file, ...given };
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries<Setting>(settings)) {
    // An empty variable is an absent one, as in `PLATFORM_TOKEN= npm start`.
    const text = environment[name] === '' ? undefined : environment[name];
    const given = text ?? setting.initial;
    if (given === undefined) continue;
    const result = setting.parse.safeParse(given);
    if (result.success) values[name] = result.data;
    else problems.push(`${name}: ${result.error.issues[0]?.message ?? 'is not valid'}`);
  }
  if (values.DATABASE_URL !== undefined && values.MASTER_KEY === undefined && !problems.some((line) => line.startsWith('MASTER_KEY'))) {
    problems.push('MASTER_KEY: is required with DATABASE_URL (openssl rand -base64 32)');
  }
  problems.push(...retentionProblems(values));
  for (const name of Object.keys(environment)) {
    if (!(name in settings) && (name in file || OUR_PREFIXES.some((prefix) => name.startsWith(prefix))))
      problems.push(`${name}: is no setting of Latchkey (misspelt?)`);
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return {
    port: values.PORT as number,
    host: values.HOST as string,
    databaseUrl: values.DATABASE_URL as string | undefined,
    databasePoolSize: values.DATABASE_POOL_SIZE as number,
    dataDir: values.DATA_DIR as string,
    masterKey: values.MASTER_KEY === undefined ? undefined : Buffer.from(values.MASTER_KEY as string, 'base64'),
    masterKeysReadable: (values.MASTER_KEYS_READABLE as string[]).map((key) => Buffer.from(key, 'base64')),
    platformToken: values.PLATFORM_TOKEN as string | undefined,
    openSignup: values.OPEN_SIGNUP as boolean,
    role: values.ROLE as Config['role'],
    seedDemo: values.SEED_DEMO as boolean,
    redisUrl: values.REDIS_URL as string | undefined,
    trustedProxies: values.TRUSTED_PROXIES as string[],
    corsOrigins: values.CORS_ORIGINS as string[],
    limitValidatePerMinute: values.LIMIT_VALIDATE_PER_MINUTE as number,
    limitValidateUnknownPerMinute: values.LIMIT_VALIDATE_UNKNOWN_PER_MINUTE as number,
    limitActivatePerMinute: values.LIMIT_ACTIVATE_PER_MINUTE as number,
    limitAuthFailuresPerMinute: values.LIMIT_AUTH_FAILURES_PER_MINUTE as number,
    limitManagementPerMinute: values.LIMIT_MANAGEMENT_PER_MINUTE as number,
    limitReplayPerMinute: values.LIMIT_REPLAY_PER_MINUTE as number,
    limitPublicPerMinute: values.LIMIT_PUBLIC_PER_MINUTE as number,
    expiringNoticeDays: values.EXPIRING_NOTICE_DAYS as number,
    eventRetentionDays: values.EVENT_RETENTION_DAYS as number,
    webhookAllowLoopback: values.WEBHOOK_ALLOW_LOOPBACK as boolean,
    webhookRetryScheduleSeconds: values.WEBHOOK_RETRY_SCHEDULE as number[],
    metricsToken: values.METRICS_TOKEN as string | undefined,
    frontDoor: values.FRONT_DOOR as boolean,
    logLevel: values.LOG_LEVEL as string,
    otelExporterOtlpEndpoint: values.OTEL_EXPORTER_OTLP_ENDPOINT as string | undefined,
    unused: Object.entries<Setting>(settings)
      .filter(([name, setting]) => setting.unused === true && (environment[name] ?? '') !== '' && environment[name] !== setting.initial)
      .map(([name]) => name),
  };
}

/** An event that went before its last try would be lost without a word. */
function retentionProblems({ EVENT_RETENTION_DAYS: days, WEBHOOK_RETRY_SCHEDULE: schedule }: Record<string, unknown>): string[] {
  if (typeof days !== 'number' || !Array.isArray(schedule)) return [];
  const neededDays = ((schedule as number[]).reduce((sum, seconds) => sum + seconds, 0) * LONGEST_JITTER) / SECONDS_PER_DAY;
  return days > neededDays
    ? []
    : [`EVENT_RETENTION_DAYS: must be more than WEBHOOK_RETRY_SCHEDULE may take, which is ${neededDays.toFixed(1)} days`];
}

/** The text of `.env.example`: every setting with its meaning and default. */
export function environmentExample(): string {
  const entries = Object.entries<Setting>(settings).map(([name, { initial, help, unused }]) => {
    return `# ${help}${unused === true ? ' (accepted, without effect in this version)' : ''}\n# ${name}=${initial ?? ''}\n`;
  });
  return `# Copy to .env and take away the # of what you set. A misspelt or malformed line stops the boot.\n\n${entries.join('\n')}`;
}

function isMasterKey(text: string): boolean {
  return /^[A-Za-z0-9+/]{43}=$/.test(text) && Buffer.from(text, 'base64').length === 32;
}

function isCidr(text: string): boolean {
  const [address = '', prefix, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0) return false;
  return prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= (version === 4 ? 32 : 128));
}
