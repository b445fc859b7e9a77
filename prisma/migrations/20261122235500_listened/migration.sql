-- Who listens to the types of events that are only made then: looked up every second, so it must cost nothing however many
-- endpoints there are. The patterns are those of src/domain/events.ts.

-- CreateIndex
CREATE INDEX "event_interest_until_idx" ON "event_interest"("until");

-- CreateIndex
CREATE INDEX "webhook_endpoint_high_volume_idx" ON "webhook_endpoint"("environment_id")
  WHERE (is_enabled AND deleted_at IS NULL AND events && ARRAY['validation.success'::text, 'validation.failed'::text, 'machine.heartbeat'::text, 'validation.*'::text]);

-- Read for all environments in one statement; of an endpoint no more than what it listens to.
CREATE POLICY lookup ON "webhook_endpoint" FOR SELECT TO latchkey_lookup USING (true);
CREATE POLICY lookup ON "event_interest" FOR SELECT TO latchkey_lookup USING (true);
GRANT SELECT ("environment_id", "events", "is_enabled", "deleted_at") ON "webhook_endpoint" TO latchkey_lookup;
GRANT SELECT ON "event_interest" TO latchkey_lookup;

-- An event of a beat is written with the beat, and is of its machine's segment.
GRANT SELECT ("segment_id") ON "machine" TO latchkey_system;
