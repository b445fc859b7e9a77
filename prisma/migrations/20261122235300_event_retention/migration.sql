-- CreateIndex: what goes with its event when that is kept no longer.
CREATE INDEX "webhook_delivery_event_idx" ON "webhook_delivery"("event_id");

-- CreateIndex: the events that a segment key sees, which may be few among many.
CREATE INDEX "event_segment_idx" ON "event"("environment_id", "segment_id", "created_at" DESC, "id" DESC) WHERE ("segment_id" IS NOT NULL);
