-- DropIndex
DROP INDEX "webhook_delivery_page_idx";

-- AlterTable
ALTER TABLE "webhook_attempt" ADD COLUMN     "endpoint_id" UUID;

-- CreateIndex
CREATE INDEX "webhook_attempt_endpoint_idx" ON "webhook_attempt"("endpoint_id", "started_at" DESC);

-- A row is in one of these at a time, so that they cost no more than one. One index with the status in it would be followed by
-- nobody: under row-level security only comparisons that are leakproof use an index, and those of enums are not.
-- CreateIndex
CREATE INDEX "webhook_delivery_pending_page_idx" ON "webhook_delivery"("endpoint_id", "created_at" DESC, "id" DESC, "event_type") WHERE (status = 'pending');

-- CreateIndex
CREATE INDEX "webhook_delivery_succeeded_page_idx" ON "webhook_delivery"("endpoint_id", "created_at" DESC, "id" DESC, "event_type") WHERE (status = 'succeeded');

-- CreateIndex
CREATE INDEX "webhook_delivery_failed_page_idx" ON "webhook_delivery"("endpoint_id", "created_at" DESC, "id" DESC, "event_type") WHERE (status = 'failed');

-- Whoever writes an attempt need not say whose it is: its delivery does. By it the newest attempt of an endpoint is found
-- among millions.
CREATE FUNCTION "webhook_attempt_has_endpoint"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.endpoint_id := (SELECT endpoint_id FROM webhook_delivery WHERE environment_id = NEW.environment_id AND id = NEW.delivery_id);
  RETURN NEW;
END
$$;
CREATE TRIGGER "webhook_attempt_has_endpoint" BEFORE INSERT ON "webhook_attempt"
  FOR EACH ROW EXECUTE FUNCTION "webhook_attempt_has_endpoint"();
