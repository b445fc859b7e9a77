-- What finds the machines and leases that are to be swept, of every tenant (src/machines/sweep.query.ts), and no more of
-- them: their own environment's role does the rest.
GRANT SELECT ("environment_id", "require_heartbeat", "heartbeat_interval_minutes", "heartbeat_basis", "heartbeat_cull_strategy",
  "heartbeat_resurrection_minutes", "deleted_at") ON "policy" TO latchkey_system;
GRANT SELECT ("environment_id", "id", "license_id") ON "machine" TO latchkey_system;
GRANT SELECT ON "machine_pulse" TO latchkey_system;
GRANT SELECT ("id", "environment_id", "license_id", "last_heartbeat_at") ON "machine_process" TO latchkey_system;

-- Deactivates machines, each at its instant, and moves the totals of their licenses, each license once. The caller holds all
-- of them.
CREATE FUNCTION "remove_machines"(machine_ids uuid[], instants timestamptz[]) RETURNS void LANGUAGE sql AS $$
  WITH removed AS (
    UPDATE machine SET deleted_at = gone.at
      FROM unnest(machine_ids, instants) AS gone (id, at)
     WHERE machine.id = gone.id AND machine.deleted_at IS NULL
    RETURNING machine.license_id, machine.cores, machine.memory_mb, machine.disk_mb
  ), freed AS (
    SELECT license_id, count(*) AS machines, COALESCE(sum(cores), 0) AS cores, COALESCE(sum(memory_mb), 0) AS memory_mb,
           COALESCE(sum(disk_mb), 0) AS disk_mb
      FROM removed GROUP BY license_id
  )
  UPDATE license
     SET machine_count = machine_count - freed.machines, cores_total = cores_total - freed.cores,
         memory_mb_total = memory_mb_total - freed.memory_mb, disk_mb_total = disk_mb_total - freed.disk_mb
    FROM freed
   WHERE license.id = freed.license_id
$$;

-- The same in the time of a test clock: the license's history has what it was until each of the instants. But the license is
-- changed once, because in one transaction each version of a row is in the way of all that come after it. That change keeps
-- what the license was before all of them; every state between follows from it.
CREATE OR REPLACE FUNCTION "remove_dead_machines"(clock uuid, machine_ids uuid[], instants timestamptz[]) RETURNS void LANGUAGE sql AS $$
  SELECT remove_machines(machine_ids, instants);
  WITH removed AS (
    SELECT license.id AS license_id, dead.at, count(*) AS machines, COALESCE(sum(machine.cores), 0) AS cores,
           COALESCE(sum(machine.memory_mb), 0) AS memory_mb, COALESCE(sum(machine.disk_mb), 0) AS disk_mb
      FROM unnest(machine_ids, instants) AS dead (id, at)
      JOIN machine ON machine.id = dead.id
      JOIN license ON license.id = machine.license_id AND license.test_clock_id = clock
     GROUP BY license.id, dead.at
  ), freed_before AS (
    SELECT license_id, at, COALESCE(sum(machines) OVER earlier, 0) AS machines, COALESCE(sum(cores) OVER earlier, 0) AS cores,
           COALESCE(sum(memory_mb) OVER earlier, 0) AS memory_mb, COALESCE(sum(disk_mb) OVER earlier, 0) AS disk_mb
      FROM removed
    WINDOW earlier AS (PARTITION BY license_id ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
  ), at_first AS MATERIALIZED (
    SELECT kept.environment_id, kept.owner_id, kept.state
      FROM (SELECT DISTINCT license_id FROM removed) AS changed
     CROSS JOIN LATERAL (
       SELECT * FROM former_state
        WHERE environment_id = current_setting('app.environment_id')::uuid AND owner_id = changed.license_id
        ORDER BY until DESC, id DESC
        LIMIT 1) AS kept
  )
  INSERT INTO former_state (environment_id, kind, owner_id, until, state)
  SELECT at_first.environment_id, 'license', at_first.owner_id, freed_before.at,
         at_first.state || jsonb_build_object(
           'machine_count', (at_first.state ->> 'machine_count')::bigint - freed_before.machines,
           'cores_total', (at_first.state ->> 'cores_total')::bigint - freed_before.cores,
           'memory_mb_total', (at_first.state ->> 'memory_mb_total')::bigint - freed_before.memory_mb,
           'disk_mb_total', (at_first.state ->> 'disk_mb_total')::bigint - freed_before.disk_mb)
    FROM freed_before JOIN at_first ON at_first.owner_id = freed_before.license_id
   ORDER BY freed_before.at
$$;
