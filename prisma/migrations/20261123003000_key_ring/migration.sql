-- The master key can be replaced (docs/decisions/0019-master-key.md). What was made with it and can never be made again stays
-- as it is: the secrets behind it are kept here, wrapped under each master key that is in use.

-- CreateTable
CREATE TABLE "key_ring" (
    "id" TEXT NOT NULL,
    "place" INTEGER NOT NULL,
    "wrapped" BYTEA,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "retired_at" TIMESTAMPTZ(3),

    CONSTRAINT "key_ring_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "key_ring_place_key" ON "key_ring"("place");

ALTER TABLE "key_ring"
  ADD CONSTRAINT "key_ring_id_check" CHECK (id ~ '^[0-9a-f]{16}$'),
  -- Of a key that was rotated out only its name is left.
  ADD CONSTRAINT "key_ring_wrapped_check" CHECK ((retired_at IS NULL) = (wrapped IS NOT NULL));

-- Of no tenant, and none of its sessions sees it.
ALTER TABLE "key_ring" ENABLE ROW LEVEL SECURITY;
ALTER TABLE "key_ring" FORCE ROW LEVEL SECURITY;
CREATE POLICY system ON "key_ring" TO latchkey_system USING (true) WITH CHECK (true);
GRANT SELECT, INSERT, UPDATE ("wrapped", "retired_at") ON "key_ring" TO latchkey_system;

-- To seal anew what is sealed. Of a license nothing else can be written this way, and what it was is not history.
GRANT SELECT ("key_sealed"), UPDATE ("key_sealed") ON "license" TO latchkey_system;
GRANT UPDATE ("sealed") ON "webhook_secret" TO latchkey_system;
GRANT UPDATE ("body_sealed") ON "idempotency_key" TO latchkey_system;
