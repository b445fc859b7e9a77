-- AlterTable
ALTER TABLE "machine" ADD COLUMN     "dead_announced_for" TIMESTAMPTZ(3);

-- CreateIndex
CREATE INDEX "license_expiring_idx" ON "license"("expires_at") WHERE (deleted_at IS NULL AND test_clock_id IS NULL AND suspended_at IS NULL AND banned_at IS NULL AND revoked_at IS NULL AND expiring_announced_for IS DISTINCT FROM expires_at);

-- CreateIndex
CREATE INDEX "license_expired_idx" ON "license"("policy_id", "suspended_at", "expires_at") WHERE (deleted_at IS NULL AND test_clock_id IS NULL AND banned_at IS NULL AND revoked_at IS NULL AND expired_announced_for IS DISTINCT FROM expires_at);

-- What finds the licenses whose expiry is to be announced, of every tenant (src/licenses/expiry.query.ts), and no more of
-- them: their own environment's role does the rest.
GRANT SELECT (
  "environment_id", "policy_id", "test_clock_id", "expires_at", "suspended_at", "banned_at", "revoked_at", "expiring_announced_for",
  "expired_announced_for", "deleted_at"
) ON "license" TO latchkey_system;
GRANT SELECT ("id", "expiration_strategy", "grace_period_days") ON "policy" TO latchkey_system;
