-- CreateEnum
CREATE TYPE "api_key_kind" AS ENUM ('account', 'service');

-- AlterTable
ALTER TABLE "account" ADD COLUMN     "revoke_leaked_keys" BOOLEAN NOT NULL DEFAULT false;

-- AlterTable
ALTER TABLE "api_key" ADD COLUMN     "allowed_ips" TEXT[] DEFAULT ARRAY[]::TEXT[],
ADD COLUMN     "kind" "api_key_kind" NOT NULL DEFAULT 'account',
ADD COLUMN     "last_used_at" TIMESTAMPTZ(3),
ADD COLUMN     "last_used_ip" TEXT,
ADD COLUMN     "leaked_at" TIMESTAMPTZ(3),
ADD COLUMN     "lineage_id" UUID,
ADD COLUMN     "rate_limit_per_minute" INTEGER,
ADD COLUMN     "retires_at" TIMESTAMPTZ(3),
ADD COLUMN     "segment_id" UUID DEFAULT (NULLIF(current_setting('app.segment_id'::text, true), ''::text))::uuid,
ADD COLUMN     "service_name" TEXT,
ADD COLUMN     "successor_id" UUID;

-- Every key so far is the first of its line. Forced row-level security binds the tables' owner too, so it is lifted for this.
ALTER TABLE "api_key" NO FORCE ROW LEVEL SECURITY;
UPDATE "api_key" SET "lineage_id" = "id";
ALTER TABLE "api_key" FORCE ROW LEVEL SECURITY;
ALTER TABLE "api_key" ALTER COLUMN "lineage_id" SET NOT NULL;

-- AlterTable
ALTER TABLE "entitlement" ADD COLUMN     "segment_id" UUID DEFAULT (NULLIF(current_setting('app.segment_id'::text, true), ''::text))::uuid;

-- AlterTable
ALTER TABLE "license" ADD COLUMN     "segment_id" UUID DEFAULT (NULLIF(current_setting('app.segment_id'::text, true), ''::text))::uuid;

-- AlterTable
ALTER TABLE "machine" ADD COLUMN     "segment_id" UUID DEFAULT (NULLIF(current_setting('app.segment_id'::text, true), ''::text))::uuid;

-- AlterTable
ALTER TABLE "policy" ADD COLUMN     "segment_id" UUID DEFAULT (NULLIF(current_setting('app.segment_id'::text, true), ''::text))::uuid;

-- AlterTable
ALTER TABLE "product" ADD COLUMN     "segment_id" UUID DEFAULT (NULLIF(current_setting('app.segment_id'::text, true), ''::text))::uuid;

-- CreateTable
CREATE TABLE "vendor_user" (
    "id" UUID NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "vendor_user_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "membership" (
    "id" UUID NOT NULL,
    "account_id" UUID NOT NULL DEFAULT (current_setting('app.account_id'::text))::uuid,
    "user_id" UUID NOT NULL,
    "email" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "role" TEXT NOT NULL,
    "metadata" JSONB NOT NULL DEFAULT '{}',
    "segment_id" UUID DEFAULT (NULLIF(current_setting('app.segment_id'::text, true), ''::text))::uuid,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "membership_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "user_key" (
    "id" UUID NOT NULL,
    "user_id" UUID NOT NULL,
    "account_id" UUID NOT NULL DEFAULT (current_setting('app.account_id'::text))::uuid,
    "all_accounts" BOOLEAN NOT NULL,
    "name" TEXT NOT NULL,
    "digest" BYTEA NOT NULL,
    "pepper_id" TEXT NOT NULL,
    "prefix" TEXT NOT NULL,
    "suffix" TEXT NOT NULL,
    "expires_at" TIMESTAMPTZ(3),
    "revoked_at" TIMESTAMPTZ(3),
    "leaked_at" TIMESTAMPTZ(3),
    "last_used_at" TIMESTAMPTZ(3),
    "last_used_ip" TEXT,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updated_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "user_key_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "idempotency_key" (
    "digest" BYTEA NOT NULL,
    "request_digest" BYTEA NOT NULL,
    "status" INTEGER NOT NULL,
    "location" TEXT,
    "content_type" TEXT NOT NULL,
    "body_sealed" BYTEA NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "expires_at" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "idempotency_key_pkey" PRIMARY KEY ("digest")
);

-- CreateTable
CREATE TABLE "audit_entry" (
    "id" UUID NOT NULL,
    "environment_id" UUID DEFAULT (NULLIF(current_setting('app.environment_id'::text, true), ''::text))::uuid,
    "segment_id" UUID DEFAULT (NULLIF(current_setting('app.segment_id'::text, true), ''::text))::uuid,
    -- In the order of its bytes, so that `license.*` is a range of the index.
    "action" TEXT COLLATE "C" NOT NULL,
    "actor_type" TEXT NOT NULL,
    "actor_id" TEXT,
    "ip" TEXT,
    "request_id" TEXT,
    "resource_type" TEXT,
    "resource_id" TEXT,
    "before" JSONB,
    "after" JSONB,
    "code" TEXT,
    "route" TEXT,
    "key_prefix" TEXT,
    "count" INTEGER NOT NULL DEFAULT 1,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "audit_entry_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "audit_link" (
    "chain_id" UUID NOT NULL,
    "position" BIGINT NOT NULL,
    "entry_id" UUID NOT NULL,
    "hash" BYTEA NOT NULL,

    CONSTRAINT "audit_link_pkey" PRIMARY KEY ("chain_id","position")
);

-- CreateTable
CREATE TABLE "audit_pending" (
    "entry_id" UUID NOT NULL,
    "chain_id" UUID NOT NULL,

    CONSTRAINT "audit_pending_pkey" PRIMARY KEY ("entry_id")
);

-- CreateIndex
CREATE INDEX "membership_user_idx" ON "membership"("user_id");

-- CreateIndex
CREATE INDEX "membership_page_idx" ON "membership"("account_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE UNIQUE INDEX "membership_account_id_user_id_key" ON "membership"("account_id", "user_id");

-- CreateIndex
CREATE UNIQUE INDEX "user_key_digest_key" ON "user_key"("digest");

-- CreateIndex
CREATE INDEX "user_key_account_user_idx" ON "user_key"("account_id", "user_id");

-- CreateIndex
CREATE INDEX "idempotency_key_expires_at_idx" ON "idempotency_key"("expires_at");

-- CreateIndex
CREATE INDEX "audit_entry_page_idx" ON "audit_entry"("environment_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "audit_entry_action_idx" ON "audit_entry"("environment_id", "action", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "audit_entry_resource_idx" ON "audit_entry"("environment_id", "resource_type", "resource_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "audit_entry_actor_idx" ON "audit_entry"("environment_id", "actor_type", "actor_id", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "audit_entry_ip_idx" ON "audit_entry"("environment_id", "ip", "created_at" DESC, "id" DESC);

-- CreateIndex
CREATE INDEX "audit_entry_segment_idx" ON "audit_entry"("environment_id", "segment_id", "created_at" DESC, "id" DESC) WHERE ("segment_id" IS NOT NULL);

-- CreateIndex
CREATE INDEX "audit_entry_auth_failures_idx" ON "audit_entry"("created_at" DESC) WHERE ("action" = 'auth.failed');

-- CreateIndex
CREATE UNIQUE INDEX "audit_link_entry_id_key" ON "audit_link"("entry_id");

-- CreateIndex
CREATE INDEX "audit_pending_chain_idx" ON "audit_pending"("chain_id", "entry_id");

-- CreateIndex
CREATE INDEX "entitlement_segment_page_idx" ON "entitlement"("environment_id", "segment_id", "created_at" DESC, "id" DESC) WHERE ("segment_id" IS NOT NULL);

-- CreateIndex
CREATE INDEX "license_segment_page_idx" ON "license"("environment_id", "segment_id", "created_at" DESC, "id" DESC) WHERE ("segment_id" IS NOT NULL);

-- CreateIndex
CREATE INDEX "machine_segment_page_idx" ON "machine"("environment_id", "segment_id", "created_at" DESC, "id" DESC) WHERE ("segment_id" IS NOT NULL);

-- CreateIndex
CREATE INDEX "policy_segment_page_idx" ON "policy"("environment_id", "segment_id", "created_at" DESC, "id" DESC) WHERE ("segment_id" IS NOT NULL);

-- CreateIndex
CREATE INDEX "product_segment_page_idx" ON "product"("environment_id", "segment_id", "created_at" DESC, "id" DESC) WHERE ("segment_id" IS NOT NULL);

-- AddForeignKey
ALTER TABLE "membership" ADD CONSTRAINT "membership_account_id_fkey" FOREIGN KEY ("account_id") REFERENCES "account"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "membership" ADD CONSTRAINT "membership_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "vendor_user"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "user_key" ADD CONSTRAINT "user_key_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "vendor_user"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "user_key" ADD CONSTRAINT "user_key_account_id_fkey" FOREIGN KEY ("account_id") REFERENCES "account"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "membership" ADD CONSTRAINT "membership_role_check"
  CHECK ("role" IN ('owner', 'admin', 'developer', 'support', 'read-only'));
ALTER TABLE "audit_entry" ADD CONSTRAINT "audit_entry_environment_id_fkey" FOREIGN KEY ("environment_id") REFERENCES "environment"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- A user's address is unique in the account, whatever its case. (An expression index, which the schema language cannot say.)
CREATE UNIQUE INDEX "membership_email_key" ON "membership"("account_id", lower("email"));

-- What the code keeps, the database keeps too.
ALTER TABLE "api_key" ADD CONSTRAINT "api_key_rate_limit_check" CHECK ("rate_limit_per_minute" > 0);
ALTER TABLE "audit_entry" ADD CONSTRAINT "audit_entry_count_check" CHECK ("count" > 0);

-- Every entry that is written waits to be linked into its chain: in the same transaction, so that none is forgotten.
CREATE FUNCTION "audit_entry_is_pending"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_pending (entry_id, chain_id)
  VALUES (NEW.id, COALESCE(NEW.environment_id, '00000000-0000-0000-0000-000000000000'));
  RETURN NULL;
END
$$;
CREATE TRIGGER "audit_entry_is_pending" AFTER INSERT ON "audit_entry" FOR EACH ROW EXECUTE FUNCTION "audit_entry_is_pending"();

-- ---------------------------------------------------------------------------------------------------------------------
-- Row-level security for the new tables, and segments in the old ones.
-- ---------------------------------------------------------------------------------------------------------------------
DO $$
DECLARE
  new_table text;
  segmented_table text;
BEGIN
  FOREACH new_table IN ARRAY ARRAY[
    'vendor_user', 'membership', 'user_key', 'idempotency_key', 'audit_entry', 'audit_link', 'audit_pending'
  ] LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', new_table);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', new_table);
    EXECUTE format('CREATE POLICY system ON %I TO latchkey_system USING (true) WITH CHECK (true)', new_table);
  END LOOP;
  -- An API key with the flair `segment` sees and changes only what it made, whatever a query says. Products, policies and
  -- entitlements of others it may name (and a license that is made counts on its product's row), so those are kept apart
  -- by their services.
  FOREACH segmented_table IN ARRAY ARRAY['api_key', 'license', 'machine', 'membership', 'audit_entry'] LOOP
    EXECUTE format(
      'CREATE POLICY segment ON %I AS RESTRICTIVE TO latchkey_tenant
         USING (nullif(current_setting(''app.segment_id'', true), '''') IS NULL
                OR segment_id = nullif(current_setting(''app.segment_id'', true), '''')::uuid)', segmented_table);
  END LOOP;
END
$$;

-- Accounts share users only by their ids: each sees those who are its members.
CREATE POLICY tenant ON "membership" TO latchkey_tenant
  USING (account_id = nullif(current_setting('app.account_id', true), '')::uuid)
  WITH CHECK (account_id = nullif(current_setting('app.account_id', true), '')::uuid);
CREATE POLICY tenant ON "user_key" TO latchkey_tenant
  USING (account_id = nullif(current_setting('app.account_id', true), '')::uuid)
  WITH CHECK (account_id = nullif(current_setting('app.account_id', true), '')::uuid);
CREATE POLICY tenant ON "vendor_user" FOR SELECT TO latchkey_tenant
  USING (EXISTS (SELECT FROM membership WHERE membership.user_id = vendor_user.id));
CREATE POLICY tenant_insert ON "vendor_user" FOR INSERT TO latchkey_tenant WITH CHECK (true);
CREATE POLICY lookup ON "membership" FOR SELECT TO latchkey_lookup USING (true);
CREATE POLICY lookup ON "user_key" FOR SELECT TO latchkey_lookup USING (true);

CREATE POLICY tenant ON "audit_entry" TO latchkey_tenant
  USING (environment_id = nullif(current_setting('app.environment_id', true), '')::uuid)
  WITH CHECK (environment_id = nullif(current_setting('app.environment_id', true), '')::uuid);
CREATE POLICY tenant ON "audit_link" FOR SELECT TO latchkey_tenant
  USING (chain_id = nullif(current_setting('app.environment_id', true), '')::uuid);
CREATE POLICY tenant ON "audit_pending" TO latchkey_tenant
  USING (chain_id = nullif(current_setting('app.environment_id', true), '')::uuid)
  WITH CHECK (chain_id = nullif(current_setting('app.environment_id', true), '')::uuid);

-- Grants. Nobody may update or delete what the audit log says, nor the chain that proves it.
GRANT SELECT, INSERT ON "audit_entry" TO latchkey_tenant, latchkey_system;
GRANT SELECT ON "audit_link" TO latchkey_tenant;
GRANT SELECT, INSERT ON "audit_link" TO latchkey_system;
GRANT SELECT, INSERT ON "audit_pending" TO latchkey_tenant;
GRANT SELECT, INSERT, DELETE ON "audit_pending" TO latchkey_system;

GRANT SELECT, INSERT ON "vendor_user" TO latchkey_tenant;
GRANT SELECT, INSERT, UPDATE, DELETE ON "membership" TO latchkey_tenant;
-- Rows that open other accounts are made across tenants, by the one service that checks whose they are.
GRANT SELECT, UPDATE ("revoked_at", "updated_at") ON "user_key" TO latchkey_tenant;
GRANT SELECT, INSERT ON "vendor_user", "membership", "user_key" TO latchkey_system;
-- To hold the rows (SELECT … FOR UPDATE asks for it): keys and memberships of one user are made one after the other.
GRANT UPDATE ("created_at") ON "vendor_user", "membership" TO latchkey_system;
GRANT UPDATE ("revoked_at", "leaked_at", "last_used_at", "last_used_ip", "updated_at") ON "api_key", "user_key" TO latchkey_system;
GRANT SELECT ON "membership", "user_key" TO latchkey_lookup;

GRANT SELECT, INSERT, DELETE ON "idempotency_key" TO latchkey_system;

GRANT UPDATE ("revoke_leaked_keys") ON "account" TO latchkey_tenant;
GRANT UPDATE ("suspended_at", "updated_at") ON "account" TO latchkey_system;
GRANT SELECT ("name") ON "account" TO latchkey_lookup;
