import { Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../auth/principal.js';
import { Clock } from '../core/clock.js';
import { Database } from '../core/database.js';
import { MasterKey } from '../core/master-key.js';
import type { Position } from '../core/page.js';
import { findSlice, loadSlice } from '../core/slice.js';
import { licenseStatus } from '../domain/license-state.js';
import type { Metadata } from '../domain/metadata.js';
import { missingScopes } from '../domain/scopes.js';
import { type MachineComponent, type MachineRow, pulseOf } from '../machines/machines.dto.js';
import type { ExportQuery } from './export.dto.js';
import type { ImportedLicense, ImportedMachine } from './import.dto.js';
import { includeForView, type LicenseRow, ownEntitlements, toLicenseColumns } from './licenses.dto.js';
import { waysToMeet } from './list.query.js';

/** What one unit of work reads: so many licenses, fewer where they have more machines than so many. */
const BATCH_LICENSES = 200;
const BATCH_MACHINES = 5000;

/** Licenses as lines that an import takes back (contract: resources.md, "Licenses"). */
@Injectable()
export class ExportService {
  constructor(
    private readonly database: Database,
    private readonly masterKey: MasterKey,
    private readonly clock: Clock,
  ) {}

  /** Every license of the caller's that meets the query, in the order of creation: one that is there throughout, once. */
  async *lines(caller: TenantPrincipal, query: ExportQuery): AsyncGenerator<string> {
    let after: Position | null = null;
    do {
      const { rows, machines, next }: Batch = await this.batchAfter(after, caller, query);
      const lines = rows.map((row) =>
        this.toLine(
          row,
          machines?.filter(({ licenseId }) => licenseId === row.id),
        ),
      );
      if (lines.length > 0) yield lines.map((line) => `${JSON.stringify(line)}\n`).join('');
      after = next;
    } while (after !== null);
  }

  private batchAfter(after: Position | null, caller: TenantPrincipal, query: ExportQuery): Promise<Batch> {
    const { tenant } = caller;
    return this.database.within(tenant, async (db) => {
      const ways = await waysToMeet(db, tenant, query, { now: this.clock.now(), digest: null });
      const positions = await findSlice(db, 'license', ways, { field: 'createdAt', descending: false, after, take: BATCH_LICENSES });
      const slice = await loadSlice(positions, (where) => db.license.findMany({ where, include: includeForView }));
      const found = slice.map(({ row }) => row);
      const rows = upToMachines(found);
      const isLast = positions.length < BATCH_LICENSES && rows.length === found.length;
      const next = isLast ? null : (slice[rows.length - 1]?.position ?? null);
      if (!mayReadMachines(caller)) return { rows, machines: null, next };
      const where = { licenseId: { in: rows.map(({ id }) => id) }, deletedAt: null };
      return { rows, machines: await db.machine.findMany({ where, orderBy: { id: 'asc' }, include: { pulse: true } }), next };
    });
  }

  /** What import takes; `machines` is left out for a caller who may not read them. */
  private toLine(row: LicenseRow, machines: readonly MachineRow[] | undefined): ImportedLicense {
    return {
      id: row.id,
      productId: row.productId,
      policyId: row.policyId,
      key: this.masterKey.open(row.keySealed, row.id),
      status: licenseStatus(row, row.policy, this.clock.now(row.testClock)),
      ...toLicenseColumns({ ...row, metadata: row.metadata as Metadata }),
      expiresAt: row.expiresAt,
      entitlements: ownEntitlements(row).sort((a, b) => (a.code < b.code ? -1 : 1)),
      usesCount: row.usesCount,
      createdAt: row.createdAt,
      firstValidatedAt: row.firstValidatedAt,
      firstActivatedAt: row.firstActivatedAt,
      lastValidatedAt: row.lastValidatedAt,
      lastCheckInAt: row.lastCheckInAt,
      termAnchorAt: row.termAnchorAt,
      clockPending: row.clockPending,
      suspendedAt: row.suspendedAt,
      bannedAt: row.bannedAt,
      revokedAt: row.revokedAt,
      ...(machines === undefined ? {} : { machines: machines.map(toMachineOfLine) }),
    };
  }
}

interface Batch {
  rows: LicenseRow[];
  /** Null = the caller may not read them. */
  machines: MachineRow[] | null;
  /** Where the next batch begins; null = there is none. */
  next: Position | null;
}

/** The first of them whose machines are not too many, and one in any case. */
function upToMachines(rows: LicenseRow[]): LicenseRow[] {
  let machines = 0;
  const tooMany = rows.findIndex((row, index) => (machines += row.machineCount) > BATCH_MACHINES && index > 0);
  return tooMany === -1 ? rows : rows.slice(0, tooMany);
}

function mayReadMachines(caller: TenantPrincipal): boolean {
  return caller.kind !== 'license' && missingScopes(caller.scopes, ['machines:read']).length === 0;
}

function toMachineOfLine(row: MachineRow): ImportedMachine {
  return {
    fingerprint: row.fingerprint,
    name: row.name,
    platform: row.platform,
    hostname: row.hostname,
    cores: row.cores,
    memoryMb: row.memoryMb,
    diskMb: row.diskMb,
    userEmail: row.userEmail,
    components: row.components as unknown as MachineComponent[],
    ip: row.ip,
    createdAt: row.createdAt,
    lastHeartbeatAt: pulseOf(row).lastHeartbeatAt,
    metadata: row.metadata as ImportedMachine['metadata'],
  };
}
