import { Injectable } from '@nestjs/common';
import type { VendorPrincipal, TenantPrincipal } from '../auth/principal.js';
import { type Change, recordChange, recordChanges } from '../core/audit.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { type Page, pageOf } from '../core/page.js';
import { findSlice, loadSlice } from '../core/slice.js';
import { notFound } from '../domain/errors.js';
import { requireAllowed } from '../domain/license-actions.js';
import { type MachineSize, totalsWith } from '../domain/seats.js';
import { lockSeats } from '../licenses/licenses.query.js';
import {
  includePolicy,
  type MachineRow,
  type MachinesQuery,
  type MachineView,
  toMachineColumns,
  toMachineView,
  type UpdateMachineBody,
} from './machines.dto.js';
import { conditionsOf, deactivate, refusalFor, totalsOf } from './machines.query.js';

@Injectable()
export class MachinesService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
  ) {}

  /** A license key sees its own license's machines only. */
  list(caller: TenantPrincipal, query: MachinesQuery): Promise<Page<MachineView>> {
    const { tenant } = caller;
    return this.database.within(tenant, async (db) => {
      const now = this.clock.now();
      const conditions = conditionsOf(tenant, query, caller.kind === 'license' ? caller.licenseId : null, now);
      return pageOf(
        query,
        { list: 'machines', sort: '-createdAt' },
        async (slice) =>
          loadSlice(await findSlice(db, 'machine', [conditions], slice), (where) => db.machine.findMany({ where, include: includePolicy })),
        // Shown as of the time that they were chosen by.
        (row) => toMachineView(row, row.license.policy, tenant.environment, row.license.testClock?.frozenAt ?? now),
      );
    });
  }

  get(tenant: Tenant, id: string): Promise<MachineView> {
    return this.database.within(tenant, async (db) => {
      const machine = await db.machine.findFirst({ where: { id, deletedAt: null }, include: includePolicy });
      if (machine === null) throw notFound('machine');
      return toMachineView(machine, machine.license.policy, tenant.environment, this.clock.now(machine.license.testClock));
    });
  }

  /** 422 when more cores, memory or disk than the license has left. */
  update(caller: VendorPrincipal, id: string, body: UpdateMachineBody): Promise<MachineView> {
    const { tenant } = caller;
    return this.database.within(tenant, async (db) => {
      const { license, machine } = await lockMachine(db, caller, id);
      const now = this.clock.now(license.testClock);
      const columns = toMachineColumns(body);
      const without = totalsWith(totalsOf(license), machine, -1);
      const totals = totalsWith(without, { ...machine, ...sizeChangesOf(columns) }, 1);
      const refusal = await refusalFor(db, license, license.policy, totals);
      if (refusal !== null) throw refusal;
      await db.license.update({ where: { id: license.id }, data: { ...totals, updatedAt: license.updatedAt } });
      const saved = await db.machine.update({ where: { id }, data: { ...columns, updatedAt: now }, include: { pulse: true } });
      const view = (row: MachineRow): MachineView => toMachineView(row, license.policy, tenant.environment, now);
      const after = view(saved);
      const resource = { type: 'machine', id, segmentId: machine.segmentId };
      await recordChange(db, { action: 'machine.updated', resource, ...aboutLicense(license), before: view(machine), after });
      return after;
    });
  }

  /** Gives the seat back: in every state of the license. */
  deactivate(caller: TenantPrincipal, id: string): Promise<void> {
    return this.database.within(caller.tenant, async (db) => {
      const { license, machine } = await lockMachine(db, caller, id);
      const now = this.clock.now(license.testClock);
      requireAllowed(license, license.policy, 'deactivating a machine', now);
      const changes = await deactivate(db, caller.tenant.environment, { license, ...license }, [id], now);
      const totals = totalsWith(totalsOf(license), machine, -1);
      await db.license.update({ where: { id: license.id }, data: { ...totals, updatedAt: license.updatedAt } });
      await recordChanges(db, changes);
    });
  }
}

/** How a change to a machine stands in the history of its license. */
function aboutLicense({ id, testClock }: { id: string; testClock: { frozenAt: Date } | null }): Pick<Change, 'licenseId' | 'occurredAt'> {
  return { licenseId: id, occurredAt: testClock?.frozenAt };
}

/** A license key reaches the machines of its own license only. */
export function ownedBy(caller: TenantPrincipal): { licenseId?: string } {
  return caller.kind === 'license' ? { licenseId: caller.licenseId } : {};
}

/** The machine with its license, held in the order in which everyone holds them: license first. */
export async function lockMachine(db: Db, caller: TenantPrincipal, id: string) {
  const found = await db.machine.findFirst({ where: { id, deletedAt: null, ...ownedBy(caller) }, select: { licenseId: true } });
  if (found === null) throw notFound('machine');
  const license = await lockSeats(db, caller.tenant, found.licenseId);
  // Again under the lock: another request may have deactivated it while this one waited.
  const machine = await db.machine.findFirst({ where: { id, deletedAt: null }, include: { pulse: true } });
  if (machine === null) throw notFound('machine');
  return { license, machine };
}

/** What a change says about the size; what it does not say stays. */
function sizeChangesOf({ cores, memoryMb, diskMb }: Partial<MachineSize>): Partial<MachineSize> {
  return Object.fromEntries(Object.entries({ cores, memoryMb, diskMb }).filter(([, value]) => value !== undefined));
}
