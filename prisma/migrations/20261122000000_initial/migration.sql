-- CreateEnum
CREATE TYPE "environment_name" AS ENUM ('live', 'test');

-- CreateEnum
CREATE TYPE "policy_template" AS ENUM ('desktop_app', 'cli_tool', 'saas', 'trial', 'custom');

-- CreateEnum
CREATE TYPE "expiration_strategy" AS ENUM ('RESTRICT_ACCESS', 'ALLOW_ACCESS', 'REVOKE');

-- CreateEnum
CREATE TYPE "expiration_basis" AS ENUM ('FROM_CREATION', 'FROM_FIRST_VALIDATION', 'FROM_FIRST_ACTIVATION', 'FROM_FIRST_USE');

-- CreateEnum
CREATE TYPE "renewal_basis" AS ENUM ('FROM_EXPIRY', 'FROM_NOW', 'FROM_NOW_IF_EXPIRED');

-- CreateEnum
CREATE TYPE "transfer_strategy" AS ENUM ('KEEP_EXPIRY', 'RESET_EXPIRY');

-- CreateEnum
CREATE TYPE "overage_strategy" AS ENUM ('NO_OVERAGE', 'ALLOW_1_25X', 'ALLOW_1_5X', 'ALLOW_2X', 'ALWAYS_ALLOW');

-- CreateEnum
CREATE TYPE "leasing_strategy" AS ENUM ('PER_LICENSE', 'PER_MACHINE', 'PER_USER');

-- CreateEnum
CREATE TYPE "fingerprint_uniqueness" AS ENUM ('PER_LICENSE', 'PER_POLICY', 'PER_PRODUCT', 'PER_ACCOUNT');

-- CreateEnum
CREATE TYPE "fingerprint_matching" AS ENUM ('ANY', 'TWO', 'MOST', 'ALL');

-- CreateEnum
CREATE TYPE "heartbeat_basis" AS ENUM ('FROM_ACTIVATION', 'FROM_FIRST_BEAT');

-- CreateEnum
CREATE TYPE "heartbeat_cull_strategy" AS ENUM ('DEACTIVATE_DEAD', 'KEEP_DEAD');

-- CreateEnum
CREATE TYPE "policy_authentication" AS ENUM ('LICENSE', 'API_KEY', 'BOTH', 'NONE');

-- CreateEnum
CREATE TYPE "key_origin" AS ENUM ('generated', 'vendor');

-- CreateEnum
CREATE TYPE "machine_platform" AS ENUM ('macos', 'windows', 'linux', 'docker', 'kubernetes', 'other');

-- CreateTable
CREATE TABLE "account" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "slug" TEXT NOT NULL,
    "owner_email" TEXT NOT NULL,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "suspended_at" TIMESTAMPTZ(3),
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "account_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "environment" (
    "id" UUID NOT NULL,
    "account_id" UUID NOT NULL,
    "name" "environment_name" NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "environment_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "api_key" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "name" TEXT NOT NULL,
    "digest" BYTEA NOT NULL,
    "pepper_id" TEXT NOT NULL,
    "prefix" TEXT NOT NULL,
    "suffix" TEXT NOT NULL,
    "scopes" TEXT[],
    "expires_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "api_key_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "product" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "name" TEXT NOT NULL,
    "code" TEXT NOT NULL,
    "description" TEXT,
    "url" TEXT,
    "key_prefix" TEXT NOT NULL,
    "licenses_count" INTEGER NOT NULL DEFAULT 0,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "product_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "policy" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "product_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "template" "policy_template" NOT NULL,
    "duration_days" INTEGER,
    "duration_calendar_months" INTEGER,
    "expiration_strategy" "expiration_strategy" NOT NULL,
    "expiration_basis" "expiration_basis" NOT NULL,
    "renewal_basis" "renewal_basis" NOT NULL,
    "transfer_strategy" "transfer_strategy" NOT NULL,
    "grace_period_days" INTEGER NOT NULL,
    "is_trial" BOOLEAN NOT NULL,
    "trial_duration_days" INTEGER,
    "max_machines" INTEGER,
    "max_uses" INTEGER,
    "max_cores" INTEGER,
    "max_memory_mb" INTEGER,
    "max_disk_mb" INTEGER,
    "max_processes" INTEGER,
    "overage_strategy" "overage_strategy" NOT NULL,
    "floating" BOOLEAN NOT NULL,
    "leasing_strategy" "leasing_strategy" NOT NULL,
    "require_fingerprint" BOOLEAN NOT NULL,
    "fingerprint_uniqueness" "fingerprint_uniqueness" NOT NULL,
    "fingerprint_matching" "fingerprint_matching" NOT NULL,
    "require_heartbeat" BOOLEAN NOT NULL,
    "heartbeat_interval_minutes" INTEGER NOT NULL,
    "heartbeat_basis" "heartbeat_basis" NOT NULL,
    "heartbeat_cull_strategy" "heartbeat_cull_strategy" NOT NULL,
    "heartbeat_resurrection_minutes" INTEGER,
    "require_check_in" BOOLEAN NOT NULL,
    "check_in_interval_days" INTEGER,
    "allow_machine_transfer" BOOLEAN NOT NULL,
    "offline_allowed" BOOLEAN NOT NULL,
    "offline_max_days" INTEGER NOT NULL,
    "required_scopes" TEXT[],
    "authentication" "policy_authentication" NOT NULL,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "policy_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "entitlement" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "code" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "entitlement_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "policy_entitlement" (
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "policy_id" UUID NOT NULL,
    "entitlement_id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "policy_entitlement_pkey" PRIMARY KEY ("policy_id","entitlement_id")
);

-- CreateTable
CREATE TABLE "license" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "product_id" UUID NOT NULL,
    "policy_id" UUID NOT NULL,
    "test_clock_id" UUID,
    "key_origin" "key_origin" NOT NULL,
    "key_digest" BYTEA NOT NULL,
    "pepper_id" TEXT NOT NULL,
    "key_sealed" BYTEA NOT NULL,
    "name" TEXT,
    "user_email" TEXT,
    "user_name" TEXT,
    "starts_at" TIMESTAMPTZ(3),
    "expires_at" TIMESTAMPTZ(3),
    "term_anchor_at" TIMESTAMPTZ(3),
    "clock_pending" BOOLEAN NOT NULL DEFAULT false,
    "max_machines_override" INTEGER,
    "max_uses_override" INTEGER,
    "max_cores_override" INTEGER,
    "max_memory_mb_override" INTEGER,
    "max_disk_mb_override" INTEGER,
    "max_processes_override" INTEGER,
    "allowed_versions" TEXT,
    "uses_count" INTEGER NOT NULL DEFAULT 0,
    "machine_count" INTEGER NOT NULL DEFAULT 0,
    "cores_total" BIGINT NOT NULL DEFAULT 0,
    "memory_mb_total" BIGINT NOT NULL DEFAULT 0,
    "disk_mb_total" BIGINT NOT NULL DEFAULT 0,
    "suspended_at" TIMESTAMPTZ(3),
    "banned_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),
    "first_validated_at" TIMESTAMPTZ(3),
    "first_activated_at" TIMESTAMPTZ(3),
    "last_validated_at" TIMESTAMPTZ(3),
    "last_check_in_at" TIMESTAMPTZ(3),
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "license_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "license_entitlement" (
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "license_id" UUID NOT NULL,
    "entitlement_id" UUID NOT NULL,
    "expires_at" TIMESTAMPTZ(3),
    "quantity" INTEGER,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "license_entitlement_pkey" PRIMARY KEY ("license_id","entitlement_id")
);

-- CreateTable
CREATE TABLE "machine" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "license_id" UUID NOT NULL,
    "fingerprint" TEXT NOT NULL,
    "name" TEXT,
    "platform" "machine_platform",
    "hostname" TEXT,
    "cores" INTEGER,
    "memory_mb" INTEGER,
    "disk_mb" INTEGER,
    "user_email" TEXT,
    "components" JSONB NOT NULL DEFAULT '[]',
    "ip" TEXT,
    "last_heartbeat_at" TIMESTAMPTZ(3),
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "machine_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "test_clock" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "frozen_at" TIMESTAMPTZ(3) NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,
    "deleted_at" TIMESTAMPTZ(3),

    CONSTRAINT "test_clock_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "account_slug_key" ON "account"("slug");

-- CreateIndex
CREATE UNIQUE INDEX "environment_account_id_name_key" ON "environment"("account_id", "name");

-- CreateIndex
CREATE UNIQUE INDEX "api_key_digest_key" ON "api_key"("digest");

-- CreateIndex
CREATE INDEX "api_key_page_idx" ON "api_key"("environment_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE UNIQUE INDEX "api_key_environment_id_id_key" ON "api_key"("environment_id", "id");

-- CreateIndex
CREATE INDEX "product_page_idx" ON "product"("environment_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE UNIQUE INDEX "product_environment_id_id_key" ON "product"("environment_id", "id");

-- CreateIndex
CREATE INDEX "policy_page_idx" ON "policy"("environment_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "policy_product_idx" ON "policy"("environment_id", "product_id");

-- CreateIndex
CREATE UNIQUE INDEX "policy_environment_id_id_key" ON "policy"("environment_id", "id");

-- CreateIndex
CREATE INDEX "entitlement_page_idx" ON "entitlement"("environment_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE UNIQUE INDEX "entitlement_environment_id_id_key" ON "entitlement"("environment_id", "id");

-- CreateIndex
CREATE UNIQUE INDEX "entitlement_code_key" ON "entitlement"("environment_id", "code") WHERE ("deleted_at" IS NULL);

-- CreateIndex
CREATE INDEX "policy_entitlement_entitlement_idx" ON "policy_entitlement"("environment_id", "entitlement_id");

-- CreateIndex
CREATE INDEX "license_page_idx" ON "license"("environment_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "license_expires_at_idx" ON "license"("environment_id", "expires_at", "id");

-- CreateIndex
CREATE INDEX "license_policy_page_idx" ON "license"("environment_id", "policy_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "license_product_page_idx" ON "license"("environment_id", "product_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE UNIQUE INDEX "license_environment_id_id_key" ON "license"("environment_id", "id");

-- CreateIndex
CREATE UNIQUE INDEX "license_key_digest_key" ON "license"("key_digest") WHERE ("deleted_at" IS NULL);

-- CreateIndex
CREATE INDEX "license_entitlement_entitlement_idx" ON "license_entitlement"("environment_id", "entitlement_id");

-- CreateIndex
CREATE INDEX "machine_page_idx" ON "machine"("environment_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "machine_license_page_idx" ON "machine"("environment_id", "license_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "machine_fingerprint_idx" ON "machine"("environment_id", "fingerprint");

-- CreateIndex
CREATE UNIQUE INDEX "machine_environment_id_id_key" ON "machine"("environment_id", "id");

-- CreateIndex
CREATE UNIQUE INDEX "machine_fingerprint_key" ON "machine"("license_id", "fingerprint") WHERE ("deleted_at" IS NULL);

-- CreateIndex
CREATE UNIQUE INDEX "test_clock_environment_id_id_key" ON "test_clock"("environment_id", "id");

-- AddForeignKey
ALTER TABLE "environment" ADD CONSTRAINT "environment_account_id_fkey" FOREIGN KEY ("account_id") REFERENCES "account"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "api_key" ADD CONSTRAINT "api_key_environment_id_fkey" FOREIGN KEY ("environment_id") REFERENCES "environment"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "product" ADD CONSTRAINT "product_environment_id_fkey" FOREIGN KEY ("environment_id") REFERENCES "environment"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "policy" ADD CONSTRAINT "policy_environment_id_fkey" FOREIGN KEY ("environment_id") REFERENCES "environment"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "policy" ADD CONSTRAINT "policy_environment_id_product_id_fkey" FOREIGN KEY ("environment_id", "product_id") REFERENCES "product"("environment_id", "id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "entitlement" ADD CONSTRAINT "entitlement_environment_id_fkey" FOREIGN KEY ("environment_id") REFERENCES "environment"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "policy_entitlement" ADD CONSTRAINT "policy_entitlement_environment_id_policy_id_fkey" FOREIGN KEY ("environment_id", "policy_id") REFERENCES "policy"("environment_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "policy_entitlement" ADD CONSTRAINT "policy_entitlement_environment_id_entitlement_id_fkey" FOREIGN KEY ("environment_id", "entitlement_id") REFERENCES "entitlement"("environment_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "license" ADD CONSTRAINT "license_environment_id_fkey" FOREIGN KEY ("environment_id") REFERENCES "environment"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "license" ADD CONSTRAINT "license_environment_id_product_id_fkey" FOREIGN KEY ("environment_id", "product_id") REFERENCES "product"("environment_id", "id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "license" ADD CONSTRAINT "license_environment_id_policy_id_fkey" FOREIGN KEY ("environment_id", "policy_id") REFERENCES "policy"("environment_id", "id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "license" ADD CONSTRAINT "license_environment_id_test_clock_id_fkey" FOREIGN KEY ("environment_id", "test_clock_id") REFERENCES "test_clock"("environment_id", "id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "license_entitlement" ADD CONSTRAINT "license_entitlement_environment_id_license_id_fkey" FOREIGN KEY ("environment_id", "license_id") REFERENCES "license"("environment_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "license_entitlement" ADD CONSTRAINT "license_entitlement_environment_id_entitlement_id_fkey" FOREIGN KEY ("environment_id", "entitlement_id") REFERENCES "entitlement"("environment_id", "id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "machine" ADD CONSTRAINT "machine_environment_id_fkey" FOREIGN KEY ("environment_id") REFERENCES "environment"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "machine" ADD CONSTRAINT "machine_environment_id_license_id_fkey" FOREIGN KEY ("environment_id", "license_id") REFERENCES "license"("environment_id", "id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "test_clock" ADD CONSTRAINT "test_clock_environment_id_fkey" FOREIGN KEY ("environment_id") REFERENCES "environment"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
-- A product's code is taken whatever its case, by living products only. (An expression index, which the schema
-- language cannot say.)
CREATE UNIQUE INDEX "product_code_key" ON "product"("environment_id", lower("code")) WHERE "deleted_at" IS NULL;

-- What the code keeps, the database keeps too.
ALTER TABLE "license" ADD CONSTRAINT "license_counts_check"
  CHECK ("machine_count" >= 0 AND "uses_count" >= 0 AND "cores_total" >= 0 AND "memory_mb_total" >= 0 AND "disk_mb_total" >= 0);
ALTER TABLE "product" ADD CONSTRAINT "product_counts_check" CHECK ("licenses_count" >= 0);
ALTER TABLE "account" ADD CONSTRAINT "account_slug_check" CHECK ("slug" = lower("slug"));

-- ---------------------------------------------------------------------------------------------------------------------
-- Roles. Latchkey never queries as the role of its connection string: each session switches to one of these, none of
-- which may log in, own a table or bypass row-level security.
--
--   latchkey_tenant   one environment at a time: the rows that app.environment_id (and app.account_id) name
--   latchkey_system   the few jobs that cross tenants (Database.acrossTenants)
--   latchkey_lookup   the hot paths: reading by the digest of a credential or license key, and nothing else
-- ---------------------------------------------------------------------------------------------------------------------
DO $$
DECLARE
  wanted text;
BEGIN
  FOREACH wanted IN ARRAY ARRAY['latchkey_tenant', 'latchkey_system', 'latchkey_lookup'] LOOP
    -- Roles belong to the whole server: another Latchkey database there may have made them, or be making them now.
    BEGIN
      IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE', wanted);
      END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL;
    END;
    BEGIN
      IF NOT pg_has_role(current_user, wanted, 'MEMBER') THEN
        EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
      END IF;
    EXCEPTION WHEN unique_violation THEN
      NULL;
    END;
  END LOOP;
END
$$;

-- Row-level security, forced so that not even the owner of the tables escapes it.
DO $$
DECLARE
  tenant_table text;
BEGIN
  FOREACH tenant_table IN ARRAY ARRAY[
    'api_key', 'product', 'policy', 'entitlement', 'policy_entitlement', 'license', 'license_entitlement', 'machine', 'test_clock'
  ] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
    EXECUTE format(
      'CREATE POLICY tenant ON %I TO latchkey_tenant
         USING (environment_id = nullif(current_setting(''app.environment_id'', true), '''')::uuid)
         WITH CHECK (environment_id = nullif(current_setting(''app.environment_id'', true), '''')::uuid)', tenant_table);
    EXECUTE format('CREATE POLICY system ON %I TO latchkey_system USING (true) WITH CHECK (true)', tenant_table);
    EXECUTE format('CREATE POLICY lookup ON %I FOR SELECT TO latchkey_lookup USING (true)', tenant_table);
  END LOOP;
END
$$;

ALTER TABLE "account" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "account" FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON "account" TO latchkey_tenant
  USING (id = nullif(current_setting('app.account_id', true), '')::uuid)
  WITH CHECK (id = nullif(current_setting('app.account_id', true), '')::uuid);
CREATE POLICY system ON "account" TO latchkey_system USING (true) WITH CHECK (true);
CREATE POLICY lookup ON "account" FOR SELECT TO latchkey_lookup USING (true);

ALTER TABLE "environment" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "environment" FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON "environment" FOR SELECT TO latchkey_tenant
  USING (account_id = nullif(current_setting('app.account_id', true), '')::uuid);
CREATE POLICY system ON "environment" TO latchkey_system USING (true) WITH CHECK (true);
CREATE POLICY lookup ON "environment" FOR SELECT TO latchkey_lookup USING (true);

-- Grants: what each role's work needs, and no more. Rows are soft-deleted, so DELETE is for attachments only.
GRANT SELECT, INSERT, UPDATE ON "api_key", "product", "policy", "entitlement", "license", "machine", "test_clock" TO latchkey_tenant;
GRANT SELECT, INSERT, UPDATE, DELETE ON "policy_entitlement", "license_entitlement" TO latchkey_tenant;
GRANT SELECT, UPDATE ("name", "slug", "owner_email", "metadata", "updated_at") ON "account" TO latchkey_tenant;
GRANT SELECT ON "environment" TO latchkey_tenant;

GRANT SELECT, INSERT ON "account", "environment", "api_key" TO latchkey_system;
GRANT SELECT ("id"), UPDATE ("last_validated_at") ON "license" TO latchkey_system;
GRANT SELECT ("last_validated_at") ON "license" TO latchkey_system;

GRANT SELECT ("id", "slug", "suspended_at") ON "account" TO latchkey_lookup;
GRANT SELECT ON "environment", "api_key", "product", "policy", "entitlement", "policy_entitlement", "license_entitlement", "machine" TO latchkey_lookup;
-- Everything of a license but its sealed key.
GRANT SELECT (
  "id", "environment_id", "product_id", "policy_id", "test_clock_id", "key_origin", "key_digest", "pepper_id", "name",
  "user_email", "user_name", "starts_at", "expires_at", "term_anchor_at", "clock_pending", "max_machines_override", "max_uses_override",
  "max_cores_override", "max_memory_mb_override", "max_disk_mb_override", "max_processes_override", "allowed_versions",
  "uses_count", "machine_count", "cores_total", "memory_mb_total", "disk_mb_total", "suspended_at", "banned_at",
  "revoked_at", "first_validated_at", "first_activated_at", "last_validated_at", "last_check_in_at", "metadata",
  "created_at", "updated_at", "deleted_at"
) ON "license" TO latchkey_lookup;
