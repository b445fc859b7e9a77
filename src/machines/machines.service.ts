import { HttpStatus, Injectable } from '@nestjs/common';
import type { VendorPrincipal, TenantPrincipal } from '../auth/principal.js';
import { type Change, recordChange } from '../core/audit.js';
import { Answer } from '../core/answer.interceptor.js';
import { Clock } from '../core/clock.js';
import { Database, type Db, type Tenant } from '../core/database.js';
import { type Page, pageOf } from '../core/page.js';
import { RateLimits } from '../core/rate-limits.js';
import { findSlice, loadSlice } from '../core/slice.js';
import { requireMayActivate } from '../domain/activation.js';
import { invalid, LatchkeyError, notFound } from '../domain/errors.js';
import { clockStartedBy } from '../domain/expiry.js';
import { mayBeat } from '../domain/heartbeat.js';
import { requireAllowed } from '../domain/license-actions.js';
import { requireUsable } from '../domain/license-state.js';
import { totalsWith } from '../domain/seats.js';
import type { Machine } from '../generated/prisma/client.js';
import { lockSeats } from '../licenses/licenses.query.js';
import { recordStartedTerm } from '../licenses/term.query.js';
import {
  type ActivateMachineBody,
  includePolicy,
  type MachineRow,
  type MachinesQuery,
  type MachineView,
  pulseOf,
  toMachineColumns,
  toMachineView,
  type UpdateMachineBody,
} from './machines.dto.js';
import { conditionsOf, refusalFor, tellLimitReached, totalsOf } from './machines.query.js';

@Injectable()
export class MachinesService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
    private readonly rateLimits: RateLimits,
  ) {}

  /**
   * 201 for a new seat, 200 for the one that the fingerprint holds already, 422 when none is left. Exact under any
   * concurrency: whoever activates holds the license's row until its seat is counted. 429 for a license that is tried too often.
   */
  async activate(caller: TenantPrincipal, body: ActivateMachineBody, ip: string): Promise<Answer<MachineView>> {
    const licenseId = licenseToActivate(caller, body);
    const { fingerprint } = body;
    const { tenant } = caller;
    // Of the caller's environment: naming another's license uses up nothing of theirs.
    await this.rateLimits.admit('activate', `${tenant.environmentId}:${licenseId.toLowerCase()}`);
    const outcome = await this.database.within(tenant, async (db) => {
      const license = await lockSeats(db, tenant, licenseId, caller.kind === 'license' ? undefined : 'licenseId');
      const { policy } = license;
      // After the lock: whoever waited for it judges by the time at which it may act.
      const now = this.clock.now(license.testClock);
      requireMayActivate(caller.kind === 'license' ? 'license' : 'apiKey', policy.authentication);
      requireUsable(license, policy, now);
      const existing = await db.machine.findFirst({ where: { licenseId, fingerprint, deletedAt: null }, include: { pulse: true } });
      if (existing !== null) return new Answer(HttpStatus.OK, toMachineView(existing, policy, tenant.environment, now));

      const columns = toMachineColumns(body);
      const totals = totalsWith(totalsOf(license), sizeOf(columns), 1);
      const refusal = await refusalFor(db, license, policy, totals);
      if (refusal !== null) {
        await tellLimitReached(db, tenant, license, now);
        return refusal;
      }
      // Of its license's segment, whoever activates it: that one sees who holds the seats.
      const { segmentId } = license;
      const machine = await db.machine.create({
        data: { licenseId, segmentId, fingerprint, ip, ...columns, createdAt: now, updatedAt: now },
      });
      const term = clockStartedBy('FROM_FIRST_ACTIVATION', license, policy, now);
      await db.license.update({
        where: { id: licenseId },
        data: { ...totals, ...term, firstActivatedAt: license.firstActivatedAt ?? now, updatedAt: license.updatedAt },
      });
      const pulse = { activatedAt: now, lastHeartbeatAt: null };
      const after = toMachineView({ ...machine, pulse }, policy, tenant.environment, now);
      const resource = { type: 'machine', id: machine.id, segmentId };
      await recordChange(db, { action: 'machine.activated', resource, ...aboutLicense(license), after });
      if (term !== null) await recordStartedTerm(db, tenant, licenseId, license, now);
      return new Answer(HttpStatus.CREATED, after);
    });
    // Behind the commit: that it was refused is told, too.
    if (outcome instanceof LatchkeyError) throw outcome;
    return outcome;
  }

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
      await db.machine.update({ where: { id }, data: { deletedAt: now } });
      const totals = totalsWith(totalsOf(license), machine, -1);
      await db.license.update({ where: { id: license.id }, data: { ...totals, updatedAt: license.updatedAt } });
      const before = toMachineView(machine, license.policy, caller.tenant.environment, now);
      const resource = { type: 'machine', id, segmentId: machine.segmentId };
      await recordChange(db, { action: 'machine.deactivated', resource, ...aboutLicense(license), before });
    });
  }

  /** Acknowledged only once it is stored. 422 MACHINE_DEAD beyond resurrection, 403 for a license that is not usable. */
  heartbeat(caller: TenantPrincipal, id: string): Promise<MachineView> {
    return this.database.within(caller.tenant, async (db) => {
      const machine = await findBeating(db, caller, id);
      const { license } = machine;
      const now = this.clock.now(license.testClock);
      requireUsable(license, license.policy, now);
      const pulse = pulseOf(machine);
      if (!mayBeat(pulse, license.policy, now))
        throw new LatchkeyError('MACHINE_DEAD', 'The machine is dead: its heartbeat stayed away for too long.');
      // Never backwards, and no change that anyone made: updated_at stays.
      const beaten = await db.$executeRaw`
        UPDATE machine_pulse SET last_heartbeat_at = GREATEST(last_heartbeat_at, ${now}::timestamptz), death_announced = false
         WHERE environment_id = ${caller.tenant.environmentId}::uuid AND machine_id = ${id}::uuid`;
      if (beaten === 0) throw notFound('machine');
      return toMachineView({ ...machine, pulse: { ...pulse, lastHeartbeatAt: now } }, license.policy, caller.tenant.environment, now);
    });
  }
}

/** A license key activates its own license; an API key says which. */
function licenseToActivate(caller: TenantPrincipal, { licenseId }: ActivateMachineBody): string {
  if (caller.kind !== 'license') {
    if (licenseId === undefined) throw invalid([{ path: 'licenseId', message: 'is required with an API key' }]);
    return licenseId;
  }
  if (licenseId !== undefined && licenseId.toLowerCase() !== caller.licenseId) throw notFound('license', 'licenseId');
  return caller.licenseId;
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

/** The machine as it is when it beats: on a test clock that is being advanced, as it is after that. */
async function findBeating(db: Db, caller: TenantPrincipal, id: string) {
  const find = () => db.machine.findFirst({ where: { id, deletedAt: null, ...ownedBy(caller) }, include: includePolicy });
  const found = await find();
  const clockId = found?.license.testClockId ?? null;
  if (clockId !== null) await db.$queryRaw`SELECT 1 FROM test_clock WHERE id = ${clockId}::uuid FOR SHARE`;
  const machine = clockId === null ? found : await find();
  if (machine === null) throw notFound('machine');
  return machine;
}

type Size = Pick<Machine, 'cores' | 'memoryMb' | 'diskMb'>;

function sizeOf({ cores = null, memoryMb = null, diskMb = null }: Partial<Size>): Size {
  return { cores, memoryMb, diskMb };
}

/** What a change says about the size; what it does not say stays. */
function sizeChangesOf({ cores, memoryMb, diskMb }: Partial<Size>): Partial<Size> {
  return Object.fromEntries(Object.entries({ cores, memoryMb, diskMb }).filter(([, value]) => value !== undefined));
}
