-- Keys that sign documents (contract: offline.md). A key that was rotated out has no private half any more.

-- CreateTable
CREATE TABLE "signing_key" (
    "id" UUID NOT NULL,
    "environment_id" UUID NOT NULL DEFAULT (current_setting('app.environment_id'::text))::uuid,
    "kid" TEXT NOT NULL,
    "public_key" BYTEA NOT NULL,
    "private_key_sealed" BYTEA,
    "published_until" TIMESTAMPTZ(3) NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "retired_at" TIMESTAMPTZ(3),

    CONSTRAINT "signing_key_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "signing_key_kid_key" ON "signing_key"("kid");

-- CreateIndex
CREATE INDEX "signing_key_environment_idx" ON "signing_key"("environment_id", "created_at" DESC);

-- CreateIndex
CREATE UNIQUE INDEX "signing_key_in_use_key" ON "signing_key"("environment_id") WHERE ("retired_at" IS NULL);

-- AddForeignKey
ALTER TABLE "signing_key" ADD CONSTRAINT "signing_key_environment_id_fkey" FOREIGN KEY ("environment_id") REFERENCES "environment"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- The thumbprint (RFC 7638) is 32 bytes as base64url, and a public key has 32 bytes (RFC 8032): anything else is no key of ours.
ALTER TABLE "signing_key"
  ADD CONSTRAINT "signing_key_kid_check" CHECK (kid ~ '^[A-Za-z0-9_-]{43}$'),
  ADD CONSTRAINT "signing_key_public_key_check" CHECK (octet_length(public_key) = 32),
  -- Exactly the key in use can sign.
  ADD CONSTRAINT "signing_key_private_key_check" CHECK ((retired_at IS NULL) = (private_key_sealed IS NOT NULL));

ALTER TABLE "signing_key" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "signing_key" FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON "signing_key" TO latchkey_tenant
  USING (environment_id = nullif(current_setting('app.environment_id', true), '')::uuid)
  WITH CHECK (environment_id = nullif(current_setting('app.environment_id', true), '')::uuid);
CREATE POLICY system ON "signing_key" TO latchkey_system USING (true) WITH CHECK (true);
CREATE POLICY lookup ON "signing_key" FOR SELECT TO latchkey_lookup USING (true);

GRANT SELECT, INSERT, UPDATE ("private_key_sealed", "published_until", "retired_at") ON "signing_key" TO latchkey_tenant;
-- To make an environment's first key and keep it published while it is used, apart from the transaction of any request; and to
-- seal keys anew when the master key changes.
GRANT SELECT, INSERT, UPDATE ("private_key_sealed", "published_until") ON "signing_key" TO latchkey_system;
-- The public half is for everyone; nothing that only reads needs the other.
GRANT SELECT ("id", "environment_id", "kid", "public_key", "published_until", "created_at", "retired_at") ON "signing_key" TO latchkey_lookup;
