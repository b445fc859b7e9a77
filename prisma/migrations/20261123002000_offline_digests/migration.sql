-- What a license is found by when a machine without a network asks for it (contract: offline.md): a digest of the SHA-256 of
-- its key. Licenses of earlier versions get theirs from the running server, which can open their keys
-- (src/licenses/offline-digest.worker.ts).

-- AlterTable
ALTER TABLE "former_license_key" ADD COLUMN     "offline_digest" BYTEA;

-- AlterTable
ALTER TABLE "license" ADD COLUMN     "offline_digest" BYTEA;

-- CreateIndex
CREATE INDEX "former_license_key_offline_digest_idx" ON "former_license_key"("environment_id", "offline_digest");

-- CreateIndex
CREATE INDEX "license_offline_digest_idx" ON "license"("environment_id", "offline_digest") WHERE ("deleted_at" IS NULL);

-- CreateIndex
CREATE INDEX "license_without_offline_digest_idx" ON "license"("id") WHERE (offline_digest IS NULL AND deleted_at IS NULL);

-- The history of a license knows nothing of this digest either: filling it in changes nothing about the license.
CREATE OR REPLACE FUNCTION "license_keeps_history"() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  secret_or_idle text[] := ARRAY['key_digest', 'offline_digest', 'key_sealed', 'pepper_id', 'last_validated_at', 'expiring_announced_for', 'expired_announced_for'];
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

-- For who fills it in, to find where; the keys themselves are opened within their tenants.
GRANT SELECT ("environment_id", "offline_digest", "deleted_at") ON "license" TO latchkey_system;

-- A server of an earlier version, which may still run for a while, gives a license another key and knows nothing of this digest:
-- it would go on to lead from the old key to the license. Without one the license waits for the running server to make it.
CREATE FUNCTION "license_forgets_offline_digest"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.offline_digest := NULL;
  RETURN NEW;
END
$$;
CREATE TRIGGER "license_forgets_offline_digest" BEFORE UPDATE OF "key_digest" ON "license"
  FOR EACH ROW WHEN (NEW.key_digest <> OLD.key_digest AND NEW.offline_digest IS NOT DISTINCT FROM OLD.offline_digest)
  EXECUTE FUNCTION "license_forgets_offline_digest"();
