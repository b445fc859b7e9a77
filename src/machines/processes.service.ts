import { HttpStatus, Injectable } from '@nestjs/common';
import type { TenantPrincipal } from '../auth/principal.js';
import { Answer } from '../core/answer.interceptor.js';
import { Clock } from '../core/clock.js';
import { Database, type Db } from '../core/database.js';
import { type Page, paginate } from '../core/page.js';
import { notFound } from '../domain/errors.js';
import { machineDead, machineStatus } from '../domain/heartbeat.js';
import { requireUsable } from '../domain/license-state.js';
import { inForceAfter, leaseGroupOf, mayStart, processLimit } from '../domain/processes.js';
import type { License, Policy } from '../generated/prisma/client.js';
import { includePolicy, type MachineRow, pulseOf } from './machines.dto.js';
import { lockMachine, ownedBy } from './machines.service.js';
import { type ProcessesQuery, type ProcessView, type StartProcessBody, toProcessView } from './processes.dto.js';
import { beatProcess, findRunning, inGroup, isRunning, ofProcess, processLimitExceeded, removeLapsed } from './processes.query.js';

/** What leases are judged by. */
type LeasingLicense = License & { policy: Policy; testClock: { frozenAt: Date } | null };

/** Leases of the processes that run on machines. They are no management changes: neither log nor events tell of them. */
@Injectable()
export class ProcessesService {
  constructor(
    private readonly database: Database,
    private readonly clock: Clock,
  ) {}

  /**
   * 201 for a new lease, 200 for the one in force that the process has already, which is beaten; 422 when none is left or
   * the machine is dead, 403 for a license that is not usable. Exact under any concurrency: whoever starts a process holds
   * the license's row until its lease is counted.
   */
  start(caller: TenantPrincipal, machineId: string, { pid, metadata }: StartProcessBody): Promise<Answer<ProcessView>> {
    const { tenant } = caller;
    return this.database.within(tenant, async (db) => {
      // Who gets no lease waits for nobody: that is seen before the license is held, and again behind it.
      const seen = await findHolder(db, caller, machineId);
      const hasLease = await isRunning(db, { machineId, pid }, this.requireUsable(seen.license).since);
      if (!hasLease) await this.requireRoom(db, seen, seen.license);

      const { license, machine } = await lockMachine(db, caller, machineId);
      const { policy } = license;
      const { now, since } = this.requireUsable(license);
      const isLimited = processLimit(license, policy).effective !== null;
      await removeLapsed(db, isLimited ? inGroup(leaseGroupOf(policy.leasingStrategy, machine)) : ofProcess(machineId, pid), since);
      const existing = await beatProcess(db, { machineId, pid }, since, now);
      if (existing !== null) return new Answer(HttpStatus.OK, toProcessView(existing, policy, tenant.environment));

      await this.requireRoom(db, machine, license);
      const started = await db.machineProcess.create({
        data: { licenseId: license.id, machineId, pid, metadata, lastHeartbeatAt: now, createdAt: now },
      });
      const location = `/api/v1/machines/${machineId}/processes/${encodeURIComponent(pid)}`;
      return new Answer(HttpStatus.CREATED, toProcessView(started, policy, tenant.environment), location);
    });
  }

  /**
   * The license's time, and after when leases beat last that are in force then.
   * @throws 403 for a license that is not usable
   */
  private requireUsable({ policy, testClock, ...license }: LeasingLicense): { now: Date; since: Date } {
    const now = this.clock.now(testClock);
    requireUsable(license, policy, now);
    return { now, since: inForceAfter(policy, now) };
  }

  /** @throws 422 MACHINE_DEAD, or PROCESS_LIMIT_EXCEEDED when one more of the machine's group is too many */
  private async requireRoom(db: Db, machine: MachineRow, { policy, testClock, ...license }: LeasingLicense): Promise<void> {
    const now = this.clock.now(testClock);
    if (machineStatus(pulseOf(machine), policy, now) === 'dead') throw machineDead();
    const limit = processLimit(license, policy);
    if (limit.effective === null) return;
    const group = leaseGroupOf(policy.leasingStrategy, machine);
    const running = await findRunning(db, group, inForceAfter(policy, now));
    if (!mayStart(running.count, limit)) throw processLimitExceeded(group, limit, running);
  }

  /** Acknowledged only once it is stored. 404 for a lease that has ended: the process starts a new one. */
  heartbeat(caller: TenantPrincipal, machineId: string, pid: string): Promise<ProcessView> {
    return this.database.within(caller.tenant, async (db) => {
      const { license } = await findHolder(db, caller, machineId);
      const { policy } = license;
      const now = this.clock.now(license.testClock);
      requireUsable(license, policy, now);
      const beaten = await beatProcess(db, { machineId, pid }, inForceAfter(policy, now), now);
      if (beaten === null) throw notFound('process');
      return toProcessView(beaten, policy, caller.tenant.environment);
    });
  }

  /** Gives the lease back: in every state of the license. 404 for one that has ended. */
  end(caller: TenantPrincipal, machineId: string, pid: string): Promise<void> {
    return this.database.within(caller.tenant, async (db) => {
      const { license } = await findHolder(db, caller, machineId);
      const since = inForceAfter(license.policy, this.clock.now(license.testClock));
      const { count } = await db.machineProcess.deleteMany({ where: { machineId, pid, lastHeartbeatAt: { gt: since } } });
      if (count === 0) throw notFound('process');
    });
  }

  /** Those in force. */
  list(caller: TenantPrincipal, machineId: string, query: ProcessesQuery): Promise<Page<ProcessView>> {
    return this.database.within(caller.tenant, async (db) => {
      const { license } = await findHolder(db, caller, machineId);
      const since = inForceAfter(license.policy, this.clock.now(license.testClock));
      return paginate(
        query,
        { list: 'processes', sort: '-createdAt' },
        (page) => db.machineProcess.findMany({ ...page, where: { AND: [page.where, { machineId, lastHeartbeatAt: { gt: since } }] } }),
        (row) => toProcessView(row, license.policy, caller.tenant.environment),
      );
    });
  }
}

/** The machine that a process runs on, with what its leases are judged by. */
async function findHolder(db: Db, caller: TenantPrincipal, id: string) {
  const machine = await db.machine.findFirst({ where: { id, deletedAt: null, ...ownedBy(caller) }, include: includePolicy });
  if (machine === null) throw notFound('machine');
  return machine;
}
