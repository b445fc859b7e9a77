-- AlterTable
ALTER TABLE "machine" ADD COLUMN     "dead_announced_for" TIMESTAMPTZ(3);

-- CreateIndex
CREATE INDEX "license_expiring_idx" ON "license"("expires_at") WHERE (deleted_at IS NULL AND test_clock_id IS NULL AND suspended_at IS NULL AND banned_at IS NULL AND revoked_at IS NULL AND expiring_announced_for IS DISTINCT FROM expires_at);

-- CreateIndex
CREATE INDEX "license_expired_idx" ON "license"("policy_id", "suspended_at", "expires_at") WHERE (deleted_at IS NULL AND test_clock_id IS NULL AND banned_at IS NULL AND revoked_at IS NULL AND expired_announced_for IS DISTINCT FROM expires_at);

-- What finds the licenses whose expiry is to be announced, of every tenant (src/licenses/expiry.query.ts), and no more of
-- them: their own environment's role does the rest.
GRANT SELECT (
  "environment_id", "policy_id", "test_clock_id", "expires_at", "suspended_at", "banned_at", "revoked_at", "expiring_announced_for",
  "expired_announced_for", "deleted_at"
) ON "license" TO latchkey_system;
GRANT SELECT ("id", "expiration_strategy", "grace_period_days") ON "policy" TO latchkey_system;

-- Deactivates machines of the licenses of a clock and frees what they used, each at its instant, to which the clock is
-- turned for it: so the license's history has until when it was what it was. The caller holds all of them.
CREATE FUNCTION "remove_dead_machines"(clock uuid, machine_ids uuid[], instants timestamptz[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  instant timestamptz;
  ids uuid[];
BEGIN
  FOR instant, ids IN SELECT dead.at, array_agg(dead.id) FROM unnest(machine_ids, instants) AS dead (id, at) GROUP BY dead.at ORDER BY dead.at LOOP
    UPDATE test_clock SET frozen_at = instant WHERE id = clock;
    WITH removed AS (
      UPDATE machine SET deleted_at = instant WHERE id = ANY(ids) RETURNING license_id, cores, memory_mb, disk_mb
    ), freed AS (
      SELECT license_id, count(*) AS machines, COALESCE(sum(cores), 0) AS cores, COALESCE(sum(memory_mb), 0) AS memory_mb,
             COALESCE(sum(disk_mb), 0) AS disk_mb
        FROM removed GROUP BY license_id
    )
    UPDATE license
       SET machine_count = machine_count - freed.machines, cores_total = cores_total - freed.cores,
           memory_mb_total = memory_mb_total - freed.memory_mb, disk_mb_total = disk_mb_total - freed.disk_mb
      FROM freed
     WHERE license.id = freed.license_id;
  END LOOP;
END
$$;
