-- AlterTable
ALTER TABLE "license" ADD COLUMN     "expired_announced_for" TIMESTAMPTZ(3),
ADD COLUMN     "expiring_announced_for" TIMESTAMPTZ(3),
ADD COLUMN     "process_count" INTEGER NOT NULL DEFAULT 0;

-- AlterTable
ALTER TABLE "test_clock" ADD COLUMN     "metadata" JSONB NOT NULL DEFAULT '{}',
ADD COLUMN     "segment_id" UUID DEFAULT (NULLIF(current_setting('app.segment_id'::text, true), ''::text))::uuid;

-- CreateTable
CREATE TABLE "former_license_key" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "license_id" UUID NOT NULL,
    "key_digest" BYTEA NOT NULL,
    "pepper_id" TEXT NOT NULL,
    "valid_until" TIMESTAMPTZ(3) NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "former_license_key_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "former_state" (
    "id" BIGSERIAL NOT NULL,
    "environment_id" UUID NOT NULL,
    "kind" TEXT NOT NULL,
    "owner_id" UUID NOT NULL,
    "until" TIMESTAMPTZ(3) NOT NULL,
    "state" JSONB NOT NULL,

    CONSTRAINT "former_state_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "event" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "segment_id" UUID DEFAULT (NULLIF(current_setting('app.segment_id'::text, true), ''::text))::uuid,
    "type" TEXT NOT NULL,
    "resource_type" TEXT NOT NULL,
    "resource_id" UUID NOT NULL,
    "license_id" UUID,
    "data" JSONB NOT NULL,
    "actor_type" TEXT NOT NULL,
    "actor_id" TEXT,
    "request_id" TEXT,
    "occurred_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT clock_timestamp(),

    CONSTRAINT "event_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "former_license_key_digest_idx" ON "former_license_key"("key_digest");

-- CreateIndex
CREATE INDEX "former_license_key_license_idx" ON "former_license_key"("license_id");

-- CreateIndex
CREATE INDEX "former_state_owner_idx" ON "former_state"("environment_id", "owner_id", "until");

-- CreateIndex
CREATE INDEX "event_page_idx" ON "event"("environment_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "event_license_idx" ON "event"("environment_id", "license_id", "created_at" DESC, "id" DESC) WHERE ("license_id" IS NOT NULL);

-- CreateIndex
CREATE INDEX "license_test_clock_idx" ON "license"("environment_id", "test_clock_id") WHERE ("test_clock_id" IS NOT NULL);

-- CreateIndex
CREATE INDEX "test_clock_page_idx" ON "test_clock"("environment_id", "created_at" DESC, "id" DESC);

-- AddForeignKey
ALTER TABLE "former_license_key" ADD CONSTRAINT "former_license_key_environment_id_license_id_fkey" FOREIGN KEY ("environment_id", "license_id") REFERENCES "license"("environment_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "event" ADD CONSTRAINT "event_environment_id_fkey" FOREIGN KEY ("environment_id") REFERENCES "environment"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- What expired before this version knew how to say so is not announced now. Row-level security is forced on the tables'
-- owner too, who sees none of the rows while it is.
ALTER TABLE "license" NO FORCE ROW LEVEL SECURITY;
UPDATE "license" SET "expiring_announced_for" = "expires_at", "expired_announced_for" = "expires_at" WHERE "expires_at" <= now();
ALTER TABLE "license" FORCE ROW LEVEL SECURITY;

ALTER TABLE "license" ADD CONSTRAINT "license_process_count_check" CHECK ("process_count" >= 0);

-- ---------------------------------------------------------------------------------------------------------------------
-- History: before a license or policy changes, what it was is kept, with its entitlements as they are at that moment.
-- Whoever attaches or detaches entitlements therefore updates the license or policy first. What says nothing about a
-- license (when it was last validated, what was announced) makes no history.
--
-- What was is found by the first change after the time that is asked for, so the times of changes must rise with them: also
-- where a change that says no time of its own is rounded to a millisecond, and where the clocks of servers differ. A
-- license's state has the mark of the key that it had, which tells whether the key was another one and nothing of it.
-- ---------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION "license_keeps_history"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  secret_or_idle text[] := ARRAY['key_digest', 'key_sealed', 'pepper_id', 'last_validated_at', 'expiring_announced_for', 'expired_announced_for'];
  known jsonb := to_jsonb(OLD) - secret_or_idle;
  clock timestamptz;
BEGIN
  IF known = to_jsonb(NEW) - secret_or_idle AND OLD.key_digest = NEW.key_digest THEN
    RETURN NULL;
  END IF;
  SELECT frozen_at INTO clock FROM test_clock WHERE id = OLD.test_clock_id;
  INSERT INTO former_state (environment_id, kind, owner_id, until, state)
  VALUES (
    OLD.environment_id, 'license', OLD.id,
    GREATEST(
      -- The time of the request that changed it, when that says one: asked for that time, the history answers the change.
      COALESCE(clock, LEAST(date_trunc('milliseconds', clock_timestamp()), NULLIF(NEW.updated_at, OLD.updated_at))),
      -- The last one, from the end of the index: a license may have been counted a million times.
      (SELECT earlier.until FROM former_state earlier
        WHERE earlier.environment_id = OLD.environment_id AND earlier.owner_id = OLD.id
          AND earlier.state ->> 'test_clock_id' IS NOT DISTINCT FROM OLD.test_clock_id::text
        ORDER BY earlier.until DESC LIMIT 1)
    ),
    known || jsonb_build_object(
      'key_mark', left(encode(sha256(OLD.key_digest), 'hex'), 16),
      'entitlements', COALESCE((
        SELECT jsonb_agg(jsonb_build_object('code', entitlement.code, 'expiresAt', own.expires_at, 'quantity', own.quantity) ORDER BY entitlement.code)
          FROM license_entitlement own JOIN entitlement ON entitlement.id = own.entitlement_id
         WHERE own.license_id = OLD.id), '[]'))
  );
  RETURN NULL;
END
$$;
CREATE TRIGGER "license_keeps_history" AFTER UPDATE ON "license" FOR EACH ROW EXECUTE FUNCTION "license_keeps_history"();

CREATE FUNCTION "policy_keeps_history"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO former_state (environment_id, kind, owner_id, until, state)
  VALUES (
    OLD.environment_id, 'policy', OLD.id,
    GREATEST(
      LEAST(date_trunc('milliseconds', clock_timestamp()), NULLIF(NEW.updated_at, OLD.updated_at)),
      (SELECT earlier.until FROM former_state earlier
        WHERE earlier.environment_id = OLD.environment_id AND earlier.owner_id = OLD.id
        ORDER BY earlier.until DESC LIMIT 1)
    ),
    to_jsonb(OLD) || jsonb_build_object('entitlements', COALESCE((
      SELECT jsonb_agg(entitlement.code ORDER BY entitlement.code)
        FROM policy_entitlement inherited JOIN entitlement ON entitlement.id = inherited.entitlement_id
       WHERE inherited.policy_id = OLD.id), '[]'))
  );
  RETURN NULL;
END
$$;
CREATE TRIGGER "policy_keeps_history" AFTER UPDATE ON "policy"
  FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION "policy_keeps_history"();

-- ---------------------------------------------------------------------------------------------------------------------
-- Row-level security and grants. Events and former states are never changed by those who make them.
-- ---------------------------------------------------------------------------------------------------------------------
DO $$
DECLARE
  new_table text;
BEGIN
  FOREACH new_table IN ARRAY ARRAY['event', 'former_state', 'former_license_key'] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', new_table);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', new_table);
    EXECUTE format(
      'CREATE POLICY tenant ON %I TO latchkey_tenant
         USING (environment_id = nullif(current_setting(''app.environment_id'', true), '''')::uuid)
         WITH CHECK (environment_id = nullif(current_setting(''app.environment_id'', true), '''')::uuid)', new_table);
    EXECUTE format('CREATE POLICY system ON %I TO latchkey_system USING (true) WITH CHECK (true)', new_table);
  END LOOP;
  FOREACH new_table IN ARRAY ARRAY['event', 'test_clock'] LOOP
    EXECUTE format(
      'CREATE POLICY segment ON %I AS RESTRICTIVE TO latchkey_tenant
         USING (nullif(current_setting(''app.segment_id'', true), '''') IS NULL
                OR segment_id = nullif(current_setting(''app.segment_id'', true), '''')::uuid)', new_table);
  END LOOP;
END
$$;
CREATE POLICY lookup ON "former_license_key" FOR SELECT TO latchkey_lookup USING (true);

GRANT SELECT, INSERT ON "event" TO latchkey_tenant, latchkey_system;
GRANT SELECT, INSERT ON "former_state" TO latchkey_tenant;
GRANT USAGE ON SEQUENCE "former_state_id_seq" TO latchkey_tenant;
-- Once its overlap is over a former key is nothing any more.
GRANT SELECT, INSERT, UPDATE, DELETE ON "former_license_key" TO latchkey_tenant;
GRANT SELECT ON "former_license_key" TO latchkey_lookup;
GRANT SELECT ("id", "frozen_at") ON "test_clock" TO latchkey_lookup;
GRANT SELECT ("process_count") ON "license" TO latchkey_lookup;
