import { createHash, randomUUID } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { PrismaPg } from '@prisma/adapter-pg';
import {
  ColumnTypeEnum,
  bindMigrationAwareSqlAdapterFactory,
  type SqlDriverAdapter,
  type SqlMigrationAwareDriverAdapterFactory,
} from '@prisma/driver-adapter-utils';
import pg from 'pg';

/**
 * Prisma's own schema engine, as WebAssembly from its npm package: the same code as `prisma migrate`, without a binary
 * that would have to be downloaded. It reads and writes `_prisma_migrations`, so `prisma migrate deploy` works too.
 */

const PRISMA_FOLDER = resolve(dirname(fileURLToPath(import.meta.url)), '../../prisma');

interface MigrationList {
  baseDir: string;
  lockfile: { path: string; content: string | null };
  shadowDbInitScript: string;
  migrationDirectories: { path: string; migrationFile: { path: string; content: { tag: 'ok'; value: string } } }[];
}

interface Filter {
  externalTables: string[];
  externalEnums: string[];
}

/** The part of the engine's interface that Latchkey uses (from the package's schema_engine_bg.d.ts). */
interface Engine {
  applyMigrations(input: { migrationsList: MigrationList; filters: Filter }): Promise<{ appliedMigrationNames: string[] }>;
  diagnoseMigrationHistory(input: { migrationsList: MigrationList; optInToShadowDatabase: boolean; filters: Filter }): Promise<Diagnosis>;
  diff(input: {
    from: unknown;
    to: unknown;
    script: boolean;
    exitCode: boolean | null;
    filters: Filter;
  }): Promise<{ stdout: string | null }>;
  free(): void;
}

interface Diagnosis {
  editedMigrationNames: string[];
  failedMigrationNames: string[];
  history: { diagnostic: string; unappliedMigrationNames?: string[]; unpersistedMigrationNames?: string[] } | null;
}

/** Where a database stands against the migrations of this version. */
export interface MigrationStatus {
  applied: string[];
  pending: string[];
  failed: string[];
  edited: string[];
  /** Applied to the database but unknown here: the database is newer than this program. */
  unknown: string[];
}

const NO_FILTER: Filter = { externalTables: [], externalEnums: [] };

/** Apply what is missing, in order, and answer the names. The caller holds the lock that keeps others out. */
export async function applyMigrations(databaseUrl: string): Promise<string[]> {
  const migrationsList = await readMigrations();
  return withEngine(
    databaseUrl,
    async (engine) => (await engine.applyMigrations({ migrationsList, filters: NO_FILTER })).appliedMigrationNames,
  );
}

/**
 * Whether exactly the migrations of this version are applied, as they are: then there is nothing that the engine could do, and
 * its half second is saved. By what it writes down itself: each with the SHA-256 of its SQL.
 */
export async function isUpToDate(client: pg.Client): Promise<boolean> {
  const { rows: tables } = await client.query<{ exists: boolean }>(`SELECT to_regclass('_prisma_migrations') IS NOT NULL AS exists`);
  if (tables[0]?.exists !== true) return false;
  const { rows } = await client.query<{ applied: string }>(
    `SELECT migration_name || ' ' || checksum || CASE WHEN finished_at IS NULL THEN ' unfinished' ELSE '' END AS applied
       FROM _prisma_migrations WHERE rolled_back_at IS NULL`,
  );
  const { migrationDirectories } = await readMigrations();
  const known = migrationDirectories.map(({ path, migrationFile: { content } }) => {
    return `${path} ${createHash('sha256').update(content.value).digest('hex')}`;
  });
  return (
    rows
      .map(({ applied }) => applied)
      .sort()
      .join() === known.sort().join()
  );
}

export async function migrationStatus(databaseUrl: string): Promise<MigrationStatus> {
  const migrationsList = await readMigrations();
  const found = await withEngine(databaseUrl, (engine) =>
    engine.diagnoseMigrationHistory({ migrationsList, optInToShadowDatabase: false, filters: NO_FILTER }),
  );
  const failed = found.failedMigrationNames;
  const pending = (found.history?.unappliedMigrationNames ?? []).filter((name) => !failed.includes(name));
  const names = migrationsList.migrationDirectories.map(({ path }) => path);
  return {
    applied: names.filter((name) => !pending.includes(name) && !failed.includes(name)),
    pending,
    failed,
    edited: found.editedMigrationNames,
    unknown: found.history?.unpersistedMigrationNames ?? [],
  };
}

/**
 * The SQL that leads from the migrations (applied to a shadow database beside `databaseUrl`) to schema.prisma;
 * empty when the two agree.
 */
export async function pendingDiff(databaseUrl: string): Promise<string> {
  const from = { tag: 'migrations', ...(await readMigrations()) };
  const schema = join(PRISMA_FOLDER, 'schema.prisma');
  const to = { tag: 'schemaDatamodel', files: [{ path: schema, content: await readFile(schema, 'utf8') }] };
  const { stdout } = await withEngine(databaseUrl, (engine) => engine.diff({ from, to, script: true, exitCode: null, filters: NO_FILTER }));
  const script = (stdout ?? '').trim();
  return script === '-- This is an empty migration.' ? '' : script;
}

async function readMigrations(): Promise<MigrationList> {
  const baseDir = join(PRISMA_FOLDER, 'migrations');
  const entries = await readdir(baseDir, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  return {
    baseDir,
    lockfile: { path: 'migration_lock.toml', content: await readFile(join(baseDir, 'migration_lock.toml'), 'utf8') },
    shadowDbInitScript: '',
    migrationDirectories: await Promise.all(
      names.sort().map(async (path) => ({
        path,
        migrationFile: {
          path: 'migration.sql',
          content: { tag: 'ok' as const, value: await readFile(join(baseDir, path, 'migration.sql'), 'utf8') },
        },
      })),
    ),
  };
}

/**
 * The engine reads PostgreSQL's catalogs, whose one-byte `"char"` columns the adapter refuses as unsupported. They are
 * announced to it as `"char"[]`, which it knows and the catalog queries never ask for, and `open` calls them what they
 * are in the adapter's answer.
 */
class CatalogClient extends pg.Client {
  static readonly CHAR_OID = 18;
  static readonly CHAR_ARRAY_OID = 1002;

  override query(...args: never[]): never {
    const retype = <Result extends pg.QueryResult | undefined>(result: Result): Result => {
      for (const field of result?.fields ?? []) {
        if (field.dataTypeID === CatalogClient.CHAR_OID) field.dataTypeID = CatalogClient.CHAR_ARRAY_OID;
      }
      return result;
    };
    const parameters: unknown[] = args;
    const last = parameters.at(-1);
    const query = super.query.bind(this) as (...args: unknown[]) => unknown;
    if (typeof last === 'function') {
      const callback = last as (error: unknown, result?: pg.QueryResult) => void;
      return query(...parameters.slice(0, -1), (error: unknown, result?: pg.QueryResult) => {
        callback(error, retype(result));
      }) as never;
    }
    const answer = query(...parameters);
    return (answer instanceof Promise ? answer.then((result: pg.QueryResult) => retype(result)) : answer) as never;
  }
}

/** Connections for the engine, with a shadow database that is dropped only once nobody is connected to it. */
class EngineConnections implements SqlMigrationAwareDriverAdapterFactory {
  readonly provider = 'postgres' as const;
  readonly adapterName = '@prisma/adapter-pg';
  private readonly config: pg.PoolConfig;
  private readonly opened: SqlDriverAdapter[] = [];

  constructor(databaseUrl: string) {
    // Field by field, not as a connection string, which would win over the shadow database's name.
    const { host, port, user, password, database, ssl } = new pg.Client({ connectionString: databaseUrl });
    this.config = {
      host,
      port,
      user,
      password: password ?? undefined,
      database,
      ssl,
      max: 2,
      allowExitOnIdle: true,
      Client: CatalogClient,
    };
  }

  async connect(): Promise<SqlDriverAdapter> {
    const adapter = await this.open(this.config);
    this.opened.push(adapter);
    return adapter;
  }

  async connectToShadowDb(): Promise<SqlDriverAdapter> {
    const database = `latchkey_shadow_${randomUUID()}`;
    await this.execute(`CREATE DATABASE "${database}"`);
    const shadow = await this.open({ ...this.config, database });
    const dispose = shadow.dispose.bind(shadow);
    shadow.dispose = async () => {
      await dispose();
      await this.execute(`DROP DATABASE "${database}" WITH (FORCE)`);
    };
    return shadow;
  }

  /** The shadow database is disposed of by the engine, the main connections are left to us. */
  async close(): Promise<void> {
    for (const adapter of this.opened) await adapter.dispose();
  }

  private async open(config: pg.PoolConfig): Promise<SqlDriverAdapter> {
    const adapter = await new PrismaPg(config).connect();
    // The adapter cuts scripts at every semicolon, also inside function bodies. Sent whole, PostgreSQL parses it, and
    // runs it as one transaction.
    adapter.executeScript = async (script) => {
      await adapter.underlyingDriver().query(script);
    };
    const queryRaw = adapter.queryRaw.bind(adapter);
    adapter.queryRaw = async (query) => {
      const result = await queryRaw(query);
      const columnTypes = result.columnTypes.map((type) => (type === ColumnTypeEnum.CharacterArray ? ColumnTypeEnum.Character : type));
      return { ...result, columnTypes };
    };
    return adapter;
  }

  private async execute(statement: string): Promise<void> {
    const client = new pg.Client(this.config);
    await client.connect();
    await client.query(statement).finally(() => client.end());
  }
}

async function withEngine<T>(databaseUrl: string, work: (engine: Engine) => Promise<T>): Promise<T> {
  const connections = new EngineConnections(databaseUrl);
  const SchemaEngine = await loadEngine();
  const schema = join(PRISMA_FOLDER, 'schema.prisma');
  const engine = await SchemaEngine.new(
    { datamodels: [[schema, await readFile(schema, 'utf8')]] },
    () => undefined,
    bindMigrationAwareSqlAdapterFactory(connections),
  );
  try {
    return await work(engine);
  } finally {
    engine.free();
    await connections.close();
  }
}

interface EngineBindings {
  __wbg_set_wasm(exports: unknown): void;
  SchemaEngine: { new: (options: unknown, log: () => void, adapter: unknown) => Promise<Engine> };
}

/** TypeScript declares WebAssembly only together with the browser's names. */
interface WebAssemblyGlobal {
  WebAssembly: { instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: { __wbindgen_start(): void } } }> };
}

let loaded: Promise<EngineBindings['SchemaEngine']> | undefined;

/** The engine leaves a timer of ten seconds behind, which would keep every process that migrates alive for as long. */
function withUnheldTimers(bindings: EngineBindings): object {
  const timers = Object.keys(bindings).filter((name) => name.startsWith('__wbg_setTimeout_'));
  const unheld = (callback: () => void, delayMs: number): NodeJS.Timeout => setTimeout(callback, delayMs).unref();
  return { ...bindings, ...Object.fromEntries(timers.map((name) => [name, unheld])) };
}

/** The package's own entry imports its .wasm as a module, which Node does not do everywhere: bind it by hand. */
function loadEngine() {
  loaded ??= (async () => {
    const entry = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm/schema_engine_bg');
    const bindings = (await import(pathToFileURL(entry).href)) as EngineBindings;
    const bytes = await readFile(join(dirname(entry), 'schema_engine_bg.wasm'));
    const { instance } = await (globalThis as unknown as WebAssemblyGlobal).WebAssembly.instantiate(bytes, {
      './schema_engine_bg.js': withUnheldTimers(bindings),
    });
    bindings.__wbg_set_wasm(instance.exports);
    instance.exports.__wbindgen_start();
    return bindings.SchemaEngine;
  })();
  return loaded;
}
