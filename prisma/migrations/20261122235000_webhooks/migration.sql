-- CreateEnum
CREATE TYPE "webhook_delivery_status" AS ENUM ('pending', 'succeeded', 'failed');

-- CreateTable
CREATE TABLE "event_outbox" (
    "place" BIGSERIAL NOT NULL,
    "environment_id" UUID NOT NULL,
    "event_id" UUID NOT NULL,

    CONSTRAINT "event_outbox_pkey" PRIMARY KEY ("place")
);

-- CreateTable
CREATE TABLE "event_feed" (
    "position" BIGSERIAL NOT NULL,
    "environment_id" UUID NOT NULL,
    "event_id" UUID NOT NULL,

    CONSTRAINT "event_feed_pkey" PRIMARY KEY ("position")
);

-- CreateTable
CREATE TABLE "event_interest" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "types" TEXT[],
    "until" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "event_interest_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "webhook_endpoint" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "url" TEXT NOT NULL,
    "events" TEXT[],
    "description" TEXT,
    "is_enabled" BOOLEAN NOT NULL DEFAULT true,
    "disabled_reason" TEXT,
    "disabled_at" TIMESTAMPTZ(3),
    "failing_since" TIMESTAMPTZ(3),
    "consecutive_failures" INTEGER NOT NULL DEFAULT 0,
    "resting_until" TIMESTAMPTZ(3),
    "segment_id" UUID DEFAULT (NULLIF(current_setting('app.segment_id'::text, true), ''::text))::uuid,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "webhook_endpoint_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "webhook_secret" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "endpoint_id" UUID NOT NULL,
    "sealed" BYTEA NOT NULL,
    "ends_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "webhook_secret_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "webhook_delivery" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "endpoint_id" UUID NOT NULL,
    "event_id" UUID NOT NULL,
    "event_type" TEXT NOT NULL,
    "position" BIGINT NOT NULL,
    "license_id" UUID,
    "status" "webhook_delivery_status" NOT NULL DEFAULT 'pending',
    "attempt_count" INTEGER NOT NULL DEFAULT 0,
    "next_attempt_at" TIMESTAMPTZ(3) NOT NULL,
    "finished_at" TIMESTAMPTZ(3),
    "is_replay" BOOLEAN NOT NULL DEFAULT false,
    "segment_id" UUID DEFAULT (NULLIF(current_setting('app.segment_id'::text, true), ''::text))::uuid,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "webhook_delivery_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "webhook_attempt" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "delivery_id" UUID NOT NULL,
    "endpoint_id" UUID NOT NULL,
    "started_at" TIMESTAMPTZ(3) NOT NULL,
    "duration_ms" INTEGER NOT NULL,
    "response_code" INTEGER,
    "error" TEXT,
    "response_body" TEXT,

    CONSTRAINT "webhook_attempt_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "event_feed_environment_idx" ON "event_feed"("environment_id", "position");

-- CreateIndex
CREATE UNIQUE INDEX "event_feed_event_key" ON "event_feed"("event_id");

-- CreateIndex
CREATE INDEX "webhook_endpoint_page_idx" ON "webhook_endpoint"("environment_id", "created_at" DESC, "id" DESC) WHERE ("deleted_at" IS NULL);

-- CreateIndex
CREATE UNIQUE INDEX "webhook_endpoint_environment_id_id_key" ON "webhook_endpoint"("environment_id", "id");

-- CreateIndex
CREATE INDEX "webhook_secret_endpoint_idx" ON "webhook_secret"("endpoint_id", "created_at" DESC);

-- CreateIndex
CREATE INDEX "webhook_delivery_due_idx" ON "webhook_delivery"("endpoint_id", "next_attempt_at", "position") WHERE (status = 'pending');

-- A row is in one of these at a time, so that they cost no more than one. One index with the status in it would be followed by
-- nobody: under row-level security only comparisons that are leakproof use an index, and those of enums are not.
-- CreateIndex
CREATE INDEX "webhook_delivery_pending_page_idx" ON "webhook_delivery"("endpoint_id", "created_at" DESC, "id" DESC, "event_type") WHERE (status = 'pending');

-- CreateIndex
CREATE INDEX "webhook_delivery_succeeded_page_idx" ON "webhook_delivery"("endpoint_id", "created_at" DESC, "id" DESC, "event_type") WHERE (status = 'succeeded');

-- CreateIndex
CREATE INDEX "webhook_delivery_failed_page_idx" ON "webhook_delivery"("endpoint_id", "created_at" DESC, "id" DESC, "event_type") WHERE (status = 'failed');

-- CreateIndex
CREATE UNIQUE INDEX "webhook_delivery_environment_id_id_key" ON "webhook_delivery"("environment_id", "id");

-- CreateIndex
CREATE INDEX "webhook_attempt_delivery_idx" ON "webhook_attempt"("delivery_id", "started_at");

-- CreateIndex
CREATE INDEX "webhook_attempt_endpoint_idx" ON "webhook_attempt"("endpoint_id", "started_at" DESC);

-- CreateIndex
CREATE INDEX "event_type_idx" ON "event"("environment_id", "type", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "event_resource_idx" ON "event"("environment_id", "resource_id", "created_at" DESC, "id" DESC);

-- AddForeignKey
ALTER TABLE "webhook_endpoint" ADD CONSTRAINT "webhook_endpoint_environment_id_fkey" FOREIGN KEY ("environment_id") REFERENCES "environment"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "webhook_secret" ADD CONSTRAINT "webhook_secret_environment_id_endpoint_id_fkey" FOREIGN KEY ("environment_id", "endpoint_id") REFERENCES "webhook_endpoint"("environment_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "webhook_delivery" ADD CONSTRAINT "webhook_delivery_environment_id_endpoint_id_fkey" FOREIGN KEY ("environment_id", "endpoint_id") REFERENCES "webhook_endpoint"("environment_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "webhook_attempt" ADD CONSTRAINT "webhook_attempt_environment_id_delivery_id_fkey" FOREIGN KEY ("environment_id", "delivery_id") REFERENCES "webhook_delivery"("environment_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- ---------------------------------------------------------------------------------------------------------------------
-- The outbox. Whoever writes an event, in whatever way, puts it there: no statement can forget it. In the order in which the
-- events of a license are written, whose row is held by who writes them.
-- ---------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION "event_enters_outbox"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO event_outbox (environment_id, event_id) SELECT environment_id, id FROM written ORDER BY created_at, id;
  RETURN NULL;
END
$$;
CREATE TRIGGER "event_enters_outbox" AFTER INSERT ON "event" REFERENCING NEW TABLE AS written
  FOR EACH STATEMENT EXECUTE FUNCTION "event_enters_outbox"();

-- Every row lives for a moment: what is dead must not pile up before the first living one.
ALTER TABLE "event_outbox" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- What there was before has its place too, so that it can be replayed in order.
ALTER TABLE "event" NO FORCE ROW LEVEL SECURITY;
INSERT INTO "event_feed" ("environment_id", "event_id") SELECT environment_id, id FROM event ORDER BY created_at, id;
ALTER TABLE "event" FORCE ROW LEVEL SECURITY;

-- ---------------------------------------------------------------------------------------------------------------------
-- Row-level security and grants.
-- ---------------------------------------------------------------------------------------------------------------------
DO $$
DECLARE
  new_table text;
BEGIN
  FOREACH new_table IN ARRAY ARRAY[
    'event_outbox', 'event_feed', 'event_interest', 'webhook_endpoint', 'webhook_secret', 'webhook_delivery', 'webhook_attempt'
  ] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', new_table);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', new_table);
    EXECUTE format(
      'CREATE POLICY tenant ON %I TO latchkey_tenant
         USING (environment_id = nullif(current_setting(''app.environment_id'', true), '''')::uuid)
         WITH CHECK (environment_id = nullif(current_setting(''app.environment_id'', true), '''')::uuid)', new_table);
    EXECUTE format('CREATE POLICY system ON %I TO latchkey_system USING (true) WITH CHECK (true)', new_table);
  END LOOP;
  FOREACH new_table IN ARRAY ARRAY['webhook_endpoint', 'webhook_delivery'] LOOP
    EXECUTE format(
      'CREATE POLICY segment ON %I AS RESTRICTIVE TO latchkey_tenant
         USING (CASE WHEN nullif(current_setting(''app.segment_id'', true), '''') IS NULL THEN true
                     ELSE segment_id = nullif(current_setting(''app.segment_id'', true), '''')::uuid END)', new_table);
  END LOOP;
END
$$;

GRANT INSERT ON "event_outbox" TO latchkey_tenant;
GRANT SELECT, INSERT, DELETE ON "event_outbox" TO latchkey_system;
GRANT USAGE ON SEQUENCE "event_outbox_place_seq" TO latchkey_tenant, latchkey_system;
GRANT SELECT ON "event_feed" TO latchkey_tenant;
GRANT SELECT, INSERT, DELETE ON "event_feed" TO latchkey_system;
GRANT USAGE ON SEQUENCE "event_feed_position_seq" TO latchkey_system;
GRANT SELECT, INSERT, UPDATE, DELETE ON "event_interest" TO latchkey_tenant, latchkey_system;
-- Events are kept for a while (EVENT_RETENTION_DAYS); nobody changes one.
GRANT DELETE ON "event" TO latchkey_system;

GRANT SELECT, INSERT, UPDATE ON "webhook_endpoint" TO latchkey_tenant;
GRANT SELECT, INSERT, UPDATE ("ends_at"), DELETE ON "webhook_secret" TO latchkey_tenant;
GRANT SELECT, INSERT, UPDATE ("status", "next_attempt_at", "finished_at") ON "webhook_delivery" TO latchkey_tenant;
GRANT SELECT ON "webhook_attempt" TO latchkey_tenant;

GRANT SELECT, UPDATE ("is_enabled", "disabled_reason", "disabled_at", "failing_since", "consecutive_failures", "resting_until", "updated_at")
  ON "webhook_endpoint" TO latchkey_system;
GRANT SELECT, DELETE ON "webhook_secret" TO latchkey_system;
GRANT SELECT, INSERT, UPDATE, DELETE ON "webhook_delivery" TO latchkey_system;
GRANT SELECT, INSERT, DELETE ON "webhook_attempt" TO latchkey_system;
