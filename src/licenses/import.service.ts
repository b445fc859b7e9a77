import { Inject, Injectable } from '@nestjs/common';
import type { Logger } from 'pino';
import type { TenantPrincipal } from '../auth/principal.js';
import { Database, type Db } from '../core/database.js';
import { fromDatabase } from '../core/database-errors.js';
import { LOGGER } from '../core/logger.js';
import { RequestValidationPipe } from '../core/validation.pipe.js';
import { type Issue, LatchkeyError } from '../domain/errors.js';
import type { Held } from '../domain/fingerprints.js';
import { missingScopes } from '../domain/scopes.js';
import { keyTaken, type NewLicense, type PlannedLicense } from './creation.plan.js';
import { countMore } from './creation.query.js';
import { CreationService } from './creation.service.js';
import { fingerprintIssues } from './fingerprints.query.js';
import { contradictionsIn, ImportedLicense, type ImportedRow, type ImportReport, toNewLicense } from './import.dto.js';
import { type ColumnKind, type FileRow, type ImportFile, requireReadable, rowsOf } from './import.file.js';

/** What one transaction takes: so many things – licenses, their machines and entitlements – or so many characters of rows. */
const BATCH_THINGS = 500;
const BATCH_LENGTH = 4 * 1024 * 1024;
const NOT_SAVED = { path: '', message: 'was not saved, because the server failed: import this row again' };
/** How often a batch is tried whose fingerprints are taken at the same moment. */
const MAX_ATTEMPTS = 3;
/** What is told of one row: a report of a hundred thousand fits into memory. */
const MAX_ISSUES = 5;
const MAX_TOLD_LENGTH = 200;

const columns: ReadonlyMap<string, ColumnKind> = new Map([
  ...(['id', 'productId', 'policyId', 'key', 'name', 'userEmail', 'userName', 'allowedVersions', 'testClockId', 'status'] as const).map(as('text')),
  ...(['startsAt', 'expiresAt', 'createdAt', 'firstValidatedAt', 'firstActivatedAt', 'lastValidatedAt', 'lastCheckInAt'] as const).map(as('text')),
  ...(['termAnchorAt', 'suspendedAt', 'bannedAt', 'revokedAt'] as const).map(as('text')),
  ...(['maxMachinesOverride', 'maxUsesOverride', 'maxCoresOverride', 'maxMemoryMbOverride', 'maxDiskMbOverride'] as const).map(as('number')),
  ...(['maxProcessesOverride', 'usesCount'] as const).map(as('number')),
  ...(['clockPending'] as const).map(as('flag')),
  ...(['entitlements', 'machines'] as const).map(as('names')),
  ...(['metadata'] as const).map(as('object')),
]); // prettier-ignore

function as(kind: ColumnKind) {
  return (name: keyof ImportedLicense): [string, ColumnKind] => [name, kind];
}

export interface ImportOptions {
  /** Decide about every row, and change nothing. */
  dryRun: boolean;
  /** Told after each batch how many rows were dealt with so far. */
  progress?: (rows: number) => void;
}

/** How rows are taken. */
interface Taking {
  dryRun: boolean;
  /** What rows before have taken: the digests of keys; and fingerprints, where those rows are not stored. */
  inUse: { keys: Set<string>; fingerprints: Held };
  countedLater: Map<string, number> | undefined;
}

/** A row on its way; it failed as soon as it has issues. */
interface Entry {
  row: number;
  license?: NewLicense;
  planned?: PlannedLicense;
  issues: Issue[];
}

/** Licenses out of a file (contract: resources.md, "Licenses"). */
@Injectable()
export class ImportService {
  private readonly rules = new RequestValidationPipe();

  constructor(
    private readonly database: Database,
    private readonly creation: CreationService,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /**
   * Row by row: those in order become licenses, batch after batch, each batch in a transaction; the others say why not.
   * @throws 400 when the file as a whole cannot be taken; nothing is written then
   */
  async import(caller: TenantPrincipal, file: ImportFile, { dryRun, progress }: ImportOptions): Promise<ImportReport> {
    await requireReadable(file, columns);
    const report: ImportReport = { created: 0, failed: 0, rows: [] };
    const inUse = { keys: new Set<string>(), fingerprints: new Map() as Held };
    // In one transaction for all of it, products are held only at its end.
    const countedLater = this.database.isInOneTransaction ? new Map<string, number>() : undefined;
    let isBroken = false;
    for await (const batch of batchesOf(rowsOf(file, columns))) {
      const entries = await Promise.all(batch.map((row) => this.read(caller, row)));
      if (isBroken) notSaved(entries);
      else if (entries.some(({ license }) => license !== undefined)) {
        try {
          await this.takeBatch(caller, entries, { dryRun, inUse, countedLater });
        } catch (error) {
          // What was saved before stays, so the report must say what it is; without anything saved the error says enough.
          if (report.created === 0 || countedLater !== undefined) throw error;
          this.logger.error({ err: error }, 'an import broke off: the rest of its rows is reported as not saved');
          isBroken = true;
          notSaved(entries);
        }
      }
      for (const entry of entries) note(report, entry, dryRun);
      progress?.(report.rows.length);
    }
    if (countedLater !== undefined) await this.database.within(caller.tenant, (db) => countMore(db, countedLater));
    return report;
  }

  /** What a row says, by the rules of the route that makes one license, and its own. */
  private async read(caller: TenantPrincipal, { row, value, issues }: FileRow): Promise<Entry> {
    if (issues !== undefined) return { row, issues };
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      return { row, issues: [{ path: '', message: 'must be a JSON object' }] };
    }
    try {
      const imported = (await this.rules.transform(value, { type: 'body', metatype: ImportedLicense })) as ImportedLicense;
      const mayActivate = caller.kind !== 'license' && missingScopes(caller.scopes, ['machines:write']).length === 0;
      return { row, license: toNewLicense(imported), issues: contradictionsIn(imported, mayActivate) };
    } catch (error) {
      const found = error instanceof LatchkeyError ? (error.details?.issues as Issue[] | undefined) : undefined;
      if (found === undefined) throw error;
      return { row, issues: found };
    }
  }

  /**
   * One unit of work. Again where a fingerprint was taken between the look at it and its machine, by a license whose policy
   * does not mind: it has its issue then, and the others are made.
   */
  private async takeBatch(caller: TenantPrincipal, entries: readonly Entry[], taking: Taking): Promise<void> {
    const keysBefore = taking.inUse.keys.size;
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.database.within(caller.tenant, (db) => this.take(db, caller, entries, taking));
        return;
      } catch (error) {
        if (attempt === MAX_ATTEMPTS || fromDatabase(error)?.code !== 'FINGERPRINT_TAKEN') throw error;
        for (const key of [...taking.inUse.keys].slice(keysBefore)) taking.inUse.keys.delete(key);
      }
    }
  }

  /** Make what can be made; what cannot gets its issues. */
  private async take(
    db: Db,
    { tenant }: TenantPrincipal,
    entries: readonly Entry[],
    { dryRun, inUse, countedLater }: Taking,
  ): Promise<void> {
    const sound = entries.filter((entry) => entry.issues.length === 0);
    const licenses = sound.flatMap(({ license }) => (license === undefined ? [] : [license]));
    const plans = await this.creation.plan(db, tenant, licenses, { takesBackKeys: true, keysInUse: inUse.keys });
    for (const [index, plan] of plans.entries()) {
      const entry = sound[index];
      if (entry === undefined) continue;
      if ('planned' in plan) entry.planned = plan.planned;
      else entry.issues = plan.problems.map(({ path, message }) => ({ path, message }));
    }
    const possible = sound.filter(isPlanned);
    const fingerprints = dryRun ? inUse.fingerprints : (new Map() as Held);
    const issues = await fingerprintIssues(
      db,
      possible.map((entry) => entry.planned),
      fingerprints,
    );
    for (const [index, entry] of possible.entries()) entry.issues = issues[index] ?? [];
    if (dryRun) return;
    const planned = possible.filter((entry) => entry.issues.length === 0);
    const saved = await this.creation.save(
      db,
      tenant,
      planned.map((entry) => entry.planned),
      countedLater,
    );
    for (const [index, row] of saved.entries()) {
      if (row === null) planned[index]?.issues.push({ path: keyTaken.path, message: keyTaken.message });
    }
  }
}

function isPlanned(entry: Entry): entry is Entry & { planned: PlannedLicense } {
  return entry.planned !== undefined && entry.issues.length === 0;
}

async function* batchesOf(rows: AsyncGenerator<FileRow>): AsyncGenerator<FileRow[]> {
  let [batch, things, length]: [FileRow[], number, number] = [[], 0, 0];
  for await (const row of rows) {
    batch.push(row);
    things += thingsIn(row);
    length += row.length;
    if (things < BATCH_THINGS && length < BATCH_LENGTH) continue;
    yield batch;
    [batch, things, length] = [[], 0, 0];
  }
  if (batch.length > 0) yield batch;
}

function notSaved(entries: readonly Entry[]): void {
  for (const entry of entries) entry.issues.push(NOT_SAVED);
}

/** How many rows of the database a row of the file is, if it is sound. */
function thingsIn({ value }: FileRow): number {
  if (typeof value !== 'object' || value === null) return 1;
  const { machines, entitlements } = value as { machines?: unknown; entitlements?: unknown };
  return [machines, entitlements].reduce<number>((sum, list) => sum + (Array.isArray(list) ? list.length : 0), 1);
}

function note(report: ImportReport, { row, issues, planned }: Entry, dryRun: boolean): void {
  if (issues.length > 0 || planned === undefined) {
    report.failed += 1;
    report.rows.push({ row, outcome: 'failed', issues: issues.slice(0, MAX_ISSUES).map(shortened) });
    return;
  }
  report.created += 1;
  const created: ImportedRow = { row, outcome: 'created' };
  report.rows.push(dryRun ? created : { ...created, licenseId: planned.columns.id });
}

function shortened({ path, message }: Issue): Issue {
  const short = (text: string): string => (text.length > MAX_TOLD_LENGTH ? `${text.slice(0, MAX_TOLD_LENGTH)}…` : text);
  return { path: short(path), message: short(message) };
}
