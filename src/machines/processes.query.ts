import type { Db } from '../core/database.js';
import { LatchkeyError } from '../domain/errors.js';
import type { LeaseGroup } from '../domain/processes.js';
import type { Limit } from '../domain/seats.js';
import { Prisma } from '../generated/prisma/client.js';
import type { ProcessRow } from './processes.dto.js';

/** How many of the processes in the way an app is told of. */
const OFFERED_PROCESSES = 100;

const sql = Prisma.sql;

/** The leases that count together, in statements whose `machine_process` is `process`. */
export function inGroup(group: LeaseGroup): Prisma.Sql {
  switch (group.of) {
    case 'license':
      return sql`process.license_id = ${group.licenseId}::uuid`;
    case 'machine':
      return sql`process.machine_id = ${group.machineId}::uuid`;
    case 'user':
      return sql`process.license_id = ${group.licenseId}::uuid AND process.machine_id IN (
        SELECT machine.id FROM machine
         WHERE machine.license_id = ${group.licenseId}::uuid AND machine.deleted_at IS NULL
           AND lower(machine.user_email) IS NOT DISTINCT FROM lower(${group.userEmail}::text))`;
  }
}

/** The leases of one process, at most one. */
export function ofProcess(machineId: string, pid: string): Prisma.Sql {
  return sql`process.machine_id = ${machineId}::uuid AND process.pid = ${pid}`;
}

/**
 * Remove those of these leases whose last beat is no later than `inForceAfter`. Only a lease that is gone makes room: a beat
 * that was on its way when it ended finds nothing to revive, and one that was just in time is waited for and keeps it.
 * Held in the order of their ids, as by everyone who holds several.
 */
export async function removeLapsed(db: Db, leases: Prisma.Sql, inForceAfter: Date): Promise<void> {
  await db.$executeRaw`
    WITH lapsed AS (
      SELECT process.id FROM machine_process AS process
       WHERE ${leases} AND process.last_heartbeat_at <= ${inForceAfter}::timestamptz
       ORDER BY process.id FOR UPDATE
    )
    DELETE FROM machine_process USING lapsed WHERE machine_process.id = lapsed.id`;
}

/** Store a beat of a lease that is in force; null = there is none. Never backwards; a heap-only update. */
export async function beatProcess(
  db: Db,
  { machineId, pid }: { machineId: string; pid: string },
  inForceAfter: Date,
  now: Date,
): Promise<ProcessRow | null> {
  const [beaten] = await db.$queryRaw<ProcessRow[]>`
    UPDATE machine_process AS process SET last_heartbeat_at = GREATEST(process.last_heartbeat_at, ${now}::timestamptz)
     WHERE ${ofProcess(machineId, pid)} AND process.last_heartbeat_at > ${inForceAfter}::timestamptz
    RETURNING process.id, process.license_id AS "licenseId", process.machine_id AS "machineId", process.pid,
              process.last_heartbeat_at AS "lastHeartbeatAt", process.metadata, process.created_at AS "createdAt"`;
  return beaten ?? null;
}

/** Whether the process has a lease in force. */
export async function isRunning(db: Db, process: { machineId: string; pid: string }, inForceAfter: Date): Promise<boolean> {
  const found = await db.machineProcess.findFirst({ where: { ...process, lastHeartbeatAt: { gt: inForceAfter } }, select: { id: true } });
  return found !== null;
}

/** Leases of a group that are in force. */
export interface Running {
  count: number;
  /** The newest of them. */
  newest: Pick<ProcessRow, 'machineId' | 'pid' | 'lastHeartbeatAt'>[];
}

/** In one statement: whoever waits for the license waits for as little as can be. */
export async function findRunning(db: Db, group: LeaseGroup, inForceAfter: Date): Promise<Running> {
  const rows = await db.$queryRaw<(Running['newest'][number] & { count: number })[]>`
    SELECT process.machine_id AS "machineId", process.pid, process.last_heartbeat_at AS "lastHeartbeatAt",
           (count(*) OVER ())::int AS count
      FROM machine_process AS process
     WHERE ${inGroup(group)} AND process.last_heartbeat_at > ${inForceAfter}::timestamptz
     ORDER BY process.created_at DESC, process.id DESC LIMIT ${OFFERED_PROCESSES}`;
  return { count: rows[0]?.count ?? 0, newest: rows.map(({ machineId, pid, lastHeartbeatAt }) => ({ machineId, pid, lastHeartbeatAt })) };
}

const groupNames: Record<LeaseGroup['of'], string> = { license: '', machine: ' on a machine', user: ' for a user' };

/** 422 with the processes that count together, so that an app can offer to end one. */
export function processLimitExceeded({ of }: LeaseGroup, { effective, max }: Limit, { count, newest }: Running): LatchkeyError {
  const message = `The license allows ${String(effective)} processes${groupNames[of]}, and ${String(count)} are running.`;
  return new LatchkeyError('PROCESS_LIMIT_EXCEEDED', message, { limit: effective, max, used: count, processes: newest });
}
