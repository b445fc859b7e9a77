-- CreateTable
CREATE TABLE "machine_pulse" (
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "machine_id" UUID NOT NULL,
    "policy_id" UUID NOT NULL,
    "activated_at" TIMESTAMPTZ(3) NOT NULL,
    "last_heartbeat_at" TIMESTAMPTZ(3),
    "death_announced" BOOLEAN NOT NULL DEFAULT false,

    CONSTRAINT "machine_pulse_pkey" PRIMARY KEY ("environment_id","machine_id")
);

-- CreateTable
CREATE TABLE "machine_component" (
    "environment_id" UUID NOT NULL,
    "license_id" UUID NOT NULL,
    "fingerprint" TEXT NOT NULL,
    "machine_id" UUID NOT NULL,

    CONSTRAINT "machine_component_pkey" PRIMARY KEY ("license_id","fingerprint","machine_id")
);

-- CreateTable
CREATE TABLE "machine_process" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "license_id" UUID NOT NULL,
    "machine_id" UUID NOT NULL,
    "pid" TEXT NOT NULL,
    "last_heartbeat_at" TIMESTAMPTZ(3) NOT NULL,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "machine_process_pkey" PRIMARY KEY ("id")
);

-- A page keeps room for the next versions of its rows: a beat is a heap-only update. Vacuum comes early, because what is
-- dead here is dead at once.
ALTER TABLE "machine_pulse" SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE "machine_process" SET (fillfactor = 70);

-- CreateIndex
CREATE INDEX "machine_pulse_policy_idx" ON "machine_pulse"("policy_id", "machine_id");

-- CreateIndex
CREATE INDEX "machine_component_machine_idx" ON "machine_component"("machine_id");

-- CreateIndex
CREATE INDEX "machine_process_license_idx" ON "machine_process"("license_id");

-- CreateIndex
CREATE UNIQUE INDEX "machine_process_machine_id_pid_key" ON "machine_process"("machine_id", "pid");

-- AddForeignKey
ALTER TABLE "machine_pulse" ADD CONSTRAINT "machine_pulse_environment_id_machine_id_fkey" FOREIGN KEY ("environment_id", "machine_id") REFERENCES "machine"("environment_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "machine_process" ADD CONSTRAINT "machine_process_environment_id_machine_id_fkey" FOREIGN KEY ("environment_id", "machine_id") REFERENCES "machine"("environment_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- Those that are there already. Row-level security is forced on their owner too, who sees none of them while it is.
ALTER TABLE "machine" NO FORCE ROW LEVEL SECURITY;
ALTER TABLE "license" NO FORCE ROW LEVEL SECURITY;
INSERT INTO "machine_pulse" ("environment_id", "machine_id", "policy_id", "activated_at", "last_heartbeat_at", "death_announced")
SELECT machine.environment_id, machine.id, license.policy_id, machine.created_at, machine.last_heartbeat_at,
       machine.dead_announced_for IS NOT DISTINCT FROM COALESCE(machine.last_heartbeat_at, machine.created_at)
  FROM machine JOIN license ON license.id = machine.license_id
 WHERE machine.deleted_at IS NULL;
INSERT INTO "machine_component" ("environment_id", "license_id", "fingerprint", "machine_id")
SELECT DISTINCT machine.environment_id, machine.license_id, component.value ->> 'fingerprint', machine.id
  FROM machine CROSS JOIN LATERAL jsonb_array_elements(machine.components) AS component
 WHERE machine.deleted_at IS NULL;
ALTER TABLE "machine" FORCE ROW LEVEL SECURITY;
ALTER TABLE "license" FORCE ROW LEVEL SECURITY;

-- AlterTable
ALTER TABLE "machine" DROP COLUMN "dead_announced_for",
DROP COLUMN "last_heartbeat_at";

-- AlterTable
ALTER TABLE "license" DROP COLUMN "process_count";

-- ---------------------------------------------------------------------------------------------------------------------
-- What belongs to a machine that holds a seat begins and ends with it, whoever activates or deactivates it.
-- ---------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION "machine_lives"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO machine_pulse (environment_id, machine_id, policy_id, activated_at)
  SELECT made.environment_id, made.id, license.policy_id, made.created_at
    FROM made JOIN license ON license.environment_id = made.environment_id AND license.id = made.license_id
   WHERE made.deleted_at IS NULL;
  INSERT INTO machine_component (environment_id, license_id, fingerprint, machine_id)
  SELECT DISTINCT made.environment_id, made.license_id, component.value ->> 'fingerprint', made.id
    FROM made CROSS JOIN LATERAL jsonb_array_elements(made.components) AS component
   WHERE made.deleted_at IS NULL;
  RETURN NULL;
END
$$;
CREATE TRIGGER "machine_lives" AFTER INSERT ON "machine"
  REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION "machine_lives"();

CREATE FUNCTION "machine_is_gone"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM machine_pulse WHERE environment_id = NEW.environment_id AND machine_id = NEW.id;
  DELETE FROM machine_component WHERE machine_id = NEW.id;
  DELETE FROM machine_process WHERE machine_id = NEW.id;
  RETURN NULL;
END
$$;
CREATE TRIGGER "machine_is_gone" AFTER UPDATE OF "deleted_at" ON "machine"
  FOR EACH ROW WHEN (OLD.deleted_at IS NULL AND NEW.deleted_at IS NOT NULL) EXECUTE FUNCTION "machine_is_gone"();

CREATE FUNCTION "machine_has_components"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM machine_component WHERE machine_id = NEW.id;
  INSERT INTO machine_component (environment_id, license_id, fingerprint, machine_id)
  SELECT DISTINCT NEW.environment_id, NEW.license_id, component.value ->> 'fingerprint', NEW.id
    FROM jsonb_array_elements(NEW.components) AS component;
  RETURN NULL;
END
$$;
CREATE TRIGGER "machine_has_components" AFTER UPDATE OF "components" ON "machine"
  FOR EACH ROW WHEN (OLD.components IS DISTINCT FROM NEW.components AND NEW.deleted_at IS NULL)
  EXECUTE FUNCTION "machine_has_components"();

-- A license that moves to another policy takes its machines along.
CREATE FUNCTION "machines_follow_policy"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE machine_pulse SET policy_id = NEW.policy_id
   WHERE environment_id = NEW.environment_id
     AND machine_id IN (SELECT id FROM machine WHERE license_id = NEW.id AND environment_id = NEW.environment_id AND deleted_at IS NULL);
  RETURN NULL;
END
$$;
CREATE TRIGGER "machines_follow_policy" AFTER UPDATE OF "policy_id" ON "license"
  FOR EACH ROW WHEN (OLD.policy_id IS DISTINCT FROM NEW.policy_id) EXECUTE FUNCTION "machines_follow_policy"();

DO $$
DECLARE
  new_table text;
BEGIN
  FOREACH new_table IN ARRAY ARRAY['machine_pulse', 'machine_component', 'machine_process'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', new_table);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', new_table);
    EXECUTE format(
      'CREATE POLICY tenant ON %I TO latchkey_tenant
         USING (environment_id = nullif(current_setting(''app.environment_id'', true), '''')::uuid)
         WITH CHECK (environment_id = nullif(current_setting(''app.environment_id'', true), '''')::uuid)', new_table);
    EXECUTE format('CREATE POLICY system ON %I TO latchkey_system USING (true) WITH CHECK (true)', new_table);
    EXECUTE format('CREATE POLICY lookup ON %I FOR SELECT TO latchkey_lookup USING (true)', new_table);
    EXECUTE format('GRANT SELECT, INSERT, DELETE ON %I TO latchkey_tenant', new_table);
    EXECUTE format('GRANT SELECT ON %I TO latchkey_lookup', new_table);
  END LOOP;
END
$$;
GRANT UPDATE ON "machine_pulse", "machine_process" TO latchkey_tenant;
