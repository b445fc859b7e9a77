-- Roll-ups (docs/decisions/0022-roll-ups.md; contract: resources.md, "Analytics"): what a dashboard asks for is kept as things
-- happen, so that an answer costs the same with ten thousand licenses as with ten million. Whoever changes a license or a
-- machine leaves the change in `tally_change`, in the transaction of the change; each process leaves what it has validated in
-- `validation_batch`; one server at a time folds both into the tables below (src/analytics/roll-up.worker.ts).
--
-- Every row of a roll-up is of a segment, or of the whole environment: then its `segment_id` is the nil UUID.

-- AlterTable
ALTER TABLE "license" ADD COLUMN     "began_as_trial" BOOLEAN NOT NULL DEFAULT false,
ADD COLUMN     "converted_at" TIMESTAMPTZ(3),
ADD COLUMN     "first_renewed_at" TIMESTAMPTZ(3);

-- Environments that there are already get theirs from the running server, one after the other and beside its work: null = they
-- wait for it. Those to come begin with nothing to roll up.
-- AlterTable
ALTER TABLE "environment" ADD COLUMN     "rolled_up_at" TIMESTAMPTZ(3);
ALTER TABLE "environment" ALTER COLUMN "rolled_up_at" SET DEFAULT CURRENT_TIMESTAMP;

-- CreateTable
CREATE TABLE "tally_change" (
    "place" BIGSERIAL NOT NULL,
    "environment_id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "before" JSONB,
    "after" JSONB,
    "changed_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "tally_change_pkey" PRIMARY KEY ("place")
);

-- CreateTable
CREATE TABLE "validation_batch" (
    "process_id" UUID NOT NULL,
    "sequence" INTEGER NOT NULL,
    "counts" JSONB NOT NULL,
    "counted_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "validation_batch_pkey" PRIMARY KEY ("process_id", "sequence")
);

-- CreateTable
CREATE TABLE "validation_source" (
    "process_id" UUID NOT NULL,
    "last_sequence" INTEGER NOT NULL,
    "seen_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "validation_source_pkey" PRIMARY KEY ("process_id")
);

-- CreateTable
CREATE TABLE "license_tally" (
    "environment_id" UUID NOT NULL,
    "segment_id" UUID NOT NULL,
    "unit" TEXT NOT NULL,
    "policy_id" UUID NOT NULL,
    "test_clock_id" UUID NOT NULL,
    "held" TEXT NOT NULL,
    "expires_in" TIMESTAMPTZ(3) NOT NULL,
    "licenses" BIGINT NOT NULL,

    CONSTRAINT "license_tally_pkey" PRIMARY KEY ("environment_id", "segment_id", "unit", "policy_id", "test_clock_id", "held", "expires_in")
);

-- CreateTable
CREATE TABLE "seat_tally" (
    "environment_id" UUID NOT NULL,
    "segment_id" UUID NOT NULL,
    "policy_id" UUID NOT NULL,
    "max_machines_override" INTEGER NOT NULL,
    "machine_count" INTEGER NOT NULL,
    "licenses" BIGINT NOT NULL,

    CONSTRAINT "seat_tally_pkey" PRIMARY KEY ("environment_id", "segment_id", "policy_id", "max_machines_override", "machine_count")
);

-- CreateTable
CREATE TABLE "dead_machine_tally" (
    "environment_id" UUID NOT NULL,
    "segment_id" UUID NOT NULL,
    "policy_id" UUID NOT NULL,
    "machines" BIGINT NOT NULL,

    CONSTRAINT "dead_machine_tally_pkey" PRIMARY KEY ("environment_id", "segment_id", "policy_id")
);

-- CreateTable
CREATE TABLE "cohort_tally" (
    "environment_id" UUID NOT NULL,
    "segment_id" UUID NOT NULL,
    "created_in" TIMESTAMPTZ(3) NOT NULL,
    "licenses" BIGINT NOT NULL,
    "trials" BIGINT NOT NULL,
    "converted" BIGINT NOT NULL,
    "due" BIGINT NOT NULL,
    "renewed" BIGINT NOT NULL,

    CONSTRAINT "cohort_tally_pkey" PRIMARY KEY ("environment_id", "segment_id", "created_in")
);

-- CreateTable
CREATE TABLE "activity_count" (
    "environment_id" UUID NOT NULL,
    "segment_id" UUID NOT NULL,
    "metric" TEXT NOT NULL,
    "dimension" TEXT NOT NULL,
    "unit" TEXT NOT NULL,
    "bucket" TIMESTAMPTZ(3) NOT NULL,
    "name" TEXT NOT NULL,
    "value" BIGINT NOT NULL,

    CONSTRAINT "activity_count_pkey" PRIMARY KEY ("environment_id", "segment_id", "metric", "dimension", "unit", "bucket", "name")
);

-- CreateTable
CREATE TABLE "license_month" (
    "environment_id" UUID NOT NULL,
    "month" TIMESTAMPTZ(3) NOT NULL,
    "license_id" UUID NOT NULL,
    "segment_id" UUID,
    "validations" BIGINT NOT NULL DEFAULT 0,
    "fingerprints" INTEGER NOT NULL DEFAULT 0,
    "ips" INTEGER NOT NULL DEFAULT 0,
    "seats" INTEGER,
    "suspicion" DOUBLE PRECISION NOT NULL DEFAULT 0,

    CONSTRAINT "license_month_pkey" PRIMARY KEY ("environment_id", "month", "license_id")
);

-- CreateTable
CREATE TABLE "sighting" (
    "environment_id" UUID NOT NULL,
    "month" TIMESTAMPTZ(3) NOT NULL,
    "license_id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "name" TEXT NOT NULL,

    CONSTRAINT "sighting_pkey" PRIMARY KEY ("environment_id", "month", "license_id", "kind", "name")
);

-- CreateTable
CREATE TABLE "name_month" (
    "environment_id" UUID NOT NULL,
    "segment_id" UUID NOT NULL,
    "month" TIMESTAMPTZ(3) NOT NULL,
    "kind" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "validations" BIGINT NOT NULL,

    CONSTRAINT "name_month_pkey" PRIMARY KEY ("environment_id", "segment_id", "month", "kind", "name")
);

-- How long the oldest change of an environment waits, whatever waits of others.
-- CreateIndex
CREATE INDEX "tally_change_environment_idx" ON "tally_change"("environment_id", "place");

-- CreateIndex
CREATE INDEX "license_month_top_idx" ON "license_month"("environment_id", "month", "validations" DESC, "license_id");

-- CreateIndex
CREATE INDEX "license_month_segment_top_idx" ON "license_month"("environment_id", "segment_id", "month", "validations" DESC, "license_id") WHERE (segment_id IS NOT NULL);

-- CreateIndex
CREATE INDEX "license_month_suspicion_idx" ON "license_month"("environment_id", "month", "suspicion" DESC, "license_id") WHERE (suspicion > 1);

-- CreateIndex
CREATE INDEX "name_month_top_idx" ON "name_month"("environment_id", "segment_id", "month", "kind", "validations" DESC, "name");

-- ---------------------------------------------------------------------------------------------------------------------
-- What is tallied: of a license, of a machine, of a machine's death. A roll-up that can be derived from rows is a sum over
-- these, of the rows as they are: a change takes away what the row was and adds what it is.
-- ---------------------------------------------------------------------------------------------------------------------

-- `held` is the state that outranks expiry, in the order of domain/license-state.ts; what time alone decides is decided when
-- it is asked, by the buckets of `expires_at`.
CREATE FUNCTION "tallied"("row" "license") RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object(
    'id', "row".id, 'segment', "row".segment_id, 'product', "row".product_id, 'policy', "row".policy_id, 'clock', "row".test_clock_id,
    'held', CASE WHEN "row".banned_at IS NOT NULL THEN 'banned' WHEN "row".revoked_at IS NOT NULL THEN 'revoked'
                 WHEN "row".suspended_at IS NOT NULL THEN 'suspended' ELSE 'none' END,
    'expiresAt', "row".expires_at, 'expiredFor', "row".expired_announced_for,
    'seats', "row".max_machines_override, 'machines', "row".machine_count,
    'createdAt', "row".created_at, 'lives', "row".deleted_at IS NULL,
    'trial', "row".began_as_trial, 'converted', "row".converted_at IS NOT NULL, 'renewed', "row".first_renewed_at IS NOT NULL)
$$;

-- Its policy and product are those that its license has now.
CREATE FUNCTION "tallied"("row" "machine", product_id uuid, policy_id uuid) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('segment', "row".segment_id, 'product', product_id, 'policy', policy_id, 'platform', "row".platform,
                            'createdAt', "row".created_at, 'deletedAt', "row".deleted_at)
$$;

CREATE FUNCTION "license_is_tallied"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  before jsonb := CASE TG_OP WHEN 'INSERT' THEN NULL ELSE tallied(OLD) END;
  after jsonb := tallied(NEW);
BEGIN
  IF before IS NOT DISTINCT FROM after THEN
    RETURN NULL;
  END IF;
  INSERT INTO tally_change (environment_id, kind, before, after) VALUES (NEW.environment_id, 'license', before, after);
  -- Its machines, also those that are gone, are counted under its policy and product: those that are alike to the hour together,
  -- because a license may have had any number of them.
  IF TG_OP = 'UPDATE' AND (OLD.policy_id, OLD.product_id) IS DISTINCT FROM (NEW.policy_id, NEW.product_id) THEN
    INSERT INTO tally_change (environment_id, kind, before, after)
    SELECT NEW.environment_id, 'machine', jsonb_build_object('product', OLD.product_id, 'policy', OLD.policy_id) || alike.state,
           jsonb_build_object('product', NEW.product_id, 'policy', NEW.policy_id) || alike.state
      FROM (SELECT jsonb_build_object('segment', segment_id, 'platform', platform, 'createdAt', date_trunc('hour', created_at),
                                      'deletedAt', date_trunc('hour', deleted_at), 'count', count(*)) AS state
              FROM machine WHERE environment_id = NEW.environment_id AND license_id = NEW.id
             GROUP BY segment_id, platform, date_trunc('hour', created_at), date_trunc('hour', deleted_at)) AS alike;
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER "license_is_tallied" AFTER INSERT OR UPDATE OF "product_id", "policy_id", "test_clock_id", "expires_at",
  "expired_announced_for", "suspended_at", "banned_at", "revoked_at", "max_machines_override", "machine_count", "deleted_at",
  "began_as_trial", "converted_at", "first_renewed_at", "created_at", "segment_id" ON "license"
  FOR EACH ROW EXECUTE FUNCTION "license_is_tallied"();

CREATE FUNCTION "machine_is_tallied"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  product uuid;
  policy uuid;
BEGIN
  SELECT product_id, policy_id INTO product, policy FROM license WHERE id = NEW.license_id;
  INSERT INTO tally_change (environment_id, kind, before, after)
  VALUES (NEW.environment_id, 'machine', CASE TG_OP WHEN 'INSERT' THEN NULL ELSE tallied(OLD, product, policy) END, tallied(NEW, product, policy));
  RETURN NULL;
END
$$;
CREATE TRIGGER "machine_is_tallied" AFTER INSERT ON "machine" FOR EACH ROW EXECUTE FUNCTION "machine_is_tallied"();
CREATE TRIGGER "machine_stays_tallied" AFTER UPDATE OF "platform", "deleted_at" ON "machine"
  FOR EACH ROW WHEN ((OLD.platform, OLD.deleted_at) IS DISTINCT FROM (NEW.platform, NEW.deleted_at)) EXECUTE FUNCTION "machine_is_tallied"();

-- Deaths, as they were announced; of a machine that holds a seat.
CREATE FUNCTION "death_is_tallied"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  pulse machine_pulse := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
  segment uuid := (SELECT segment_id FROM machine WHERE machine.environment_id = pulse.environment_id AND machine.id = pulse.machine_id);
  before jsonb := CASE WHEN OLD.death_announced THEN jsonb_build_object('segment', segment, 'policy', OLD.policy_id) END;
  after jsonb := CASE WHEN TG_OP = 'UPDATE' AND NEW.death_announced THEN jsonb_build_object('segment', segment, 'policy', NEW.policy_id) END;
BEGIN
  INSERT INTO tally_change (environment_id, kind, before, after) VALUES (pulse.environment_id, 'death', before, after);
  RETURN NULL;
END
$$;
CREATE TRIGGER "death_is_tallied" AFTER UPDATE OF "policy_id", "death_announced" ON "machine_pulse"
  FOR EACH ROW WHEN ((OLD.death_announced OR NEW.death_announced)
    AND (OLD.policy_id, OLD.death_announced) IS DISTINCT FROM (NEW.policy_id, NEW.death_announced)) EXECUTE FUNCTION "death_is_tallied"();
CREATE TRIGGER "end_of_death_is_tallied" AFTER DELETE ON "machine_pulse"
  FOR EACH ROW WHEN (OLD.death_announced) EXECUTE FUNCTION "death_is_tallied"();

-- domain/anomalies.ts, `suspicionOf`: a test holds the two together.
CREATE FUNCTION "suspicion_of"(fingerprints integer, ips integer, seats integer) RETURNS double precision LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE WHEN seats IS NULL THEN 0 ELSE GREATEST(fingerprints / (3.0 * seats), ips / (10.0 * seats)) END
$$;

-- Every row lives for a moment: what is dead must not pile up before the first living one.
ALTER TABLE "tally_change" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE "validation_batch" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
-- Rows that change every second, in no indexed column.
ALTER TABLE "activity_count" SET (fillfactor = 70);
ALTER TABLE "license_tally" SET (fillfactor = 70);

-- ---------------------------------------------------------------------------------------------------------------------
-- Row-level security and grants.
-- ---------------------------------------------------------------------------------------------------------------------
DO $$
DECLARE
  new_table text;
BEGIN
  FOREACH new_table IN ARRAY ARRAY[
    'tally_change', 'license_tally', 'seat_tally', 'dead_machine_tally', 'cohort_tally', 'activity_count', 'license_month', 'name_month', 'sighting'
  ] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', new_table);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', new_table);
    EXECUTE format(
      'CREATE POLICY tenant ON %I TO latchkey_tenant
         USING (environment_id = nullif(current_setting(''app.environment_id'', true), '''')::uuid)
         WITH CHECK (environment_id = nullif(current_setting(''app.environment_id'', true), '''')::uuid)', new_table);
    EXECUTE format('CREATE POLICY system ON %I TO latchkey_system USING (true) WITH CHECK (true)', new_table);
  END LOOP;
  FOREACH new_table IN ARRAY ARRAY[
    'license_tally', 'seat_tally', 'dead_machine_tally', 'cohort_tally', 'activity_count', 'license_month', 'name_month'
  ] LOOP
    EXECUTE format(
      'CREATE POLICY segment ON %I AS RESTRICTIVE TO latchkey_tenant
         USING (CASE WHEN nullif(current_setting(''app.segment_id'', true), '''') IS NULL THEN true
                     ELSE segment_id = nullif(current_setting(''app.segment_id'', true), '''')::uuid END)', new_table);
    EXECUTE format('GRANT SELECT ON %I TO latchkey_tenant', new_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO latchkey_system', new_table);
  END LOOP;
  -- Of no tenant: what a process counted is of many.
  FOREACH new_table IN ARRAY ARRAY['validation_batch', 'validation_source'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', new_table);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', new_table);
    EXECUTE format('CREATE POLICY system ON %I TO latchkey_system USING (true) WITH CHECK (true)', new_table);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO latchkey_system', new_table);
  END LOOP;
  -- How long the oldest waits says how fresh an answer is.
  FOREACH new_table IN ARRAY ARRAY['tally_change', 'validation_batch'] LOOP
    EXECUTE format('CREATE POLICY lookup ON %I FOR SELECT TO latchkey_lookup USING (true)', new_table);
  END LOOP;
END
$$;

-- A tenant's work leaves its changes there and does nothing else with them: they are taken away across tenants.
GRANT INSERT ON "tally_change" TO latchkey_tenant;
GRANT SELECT, INSERT, DELETE ON "tally_change" TO latchkey_system;
GRANT USAGE ON SEQUENCE "tally_change_place_seq" TO latchkey_tenant, latchkey_system;
GRANT SELECT ("place", "environment_id", "changed_at") ON "tally_change" TO latchkey_lookup;
GRANT SELECT ("counted_at") ON "validation_batch" TO latchkey_lookup;
GRANT SELECT, INSERT, DELETE ON "sighting" TO latchkey_system;
GRANT UPDATE ("rolled_up_at") ON "environment" TO latchkey_system;
-- Of whom validations are: their segment, and how many seats explain what was seen.
GRANT SELECT ("id", "segment_id", "policy_id", "max_machines_override", "machine_count") ON "license" TO latchkey_system;
GRANT SELECT ("id", "max_machines") ON "policy" TO latchkey_system;
GRANT SELECT ("id", "platform") ON "machine" TO latchkey_system;
