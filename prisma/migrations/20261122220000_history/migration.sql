-- ---------------------------------------------------------------------------------------------------------------------
-- What was is found by the first change after the time that is asked for, so the times of changes must rise with them.
-- They did not where a change that says no time of its own was rounded up to the next millisecond, or where the clocks of
-- servers differ: the state before a later change then stood for all the time before an earlier one. A license's state
-- also has the mark of the key that it had then, which tells whether the key was another one and says nothing of it.
-- ---------------------------------------------------------------------------------------------------------------------
CREATE OR REPLACE FUNCTION "license_keeps_history"() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  secret_or_idle text[] := ARRAY['key_digest', 'key_sealed', 'pepper_id', 'last_validated_at', 'expiring_announced_for', 'expired_announced_for'];
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
      (SELECT max(earlier.until) FROM former_state earlier
        WHERE earlier.environment_id = OLD.environment_id AND earlier.owner_id = OLD.id
          AND earlier.state ->> 'test_clock_id' IS NOT DISTINCT FROM OLD.test_clock_id::text)
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

CREATE OR REPLACE FUNCTION "policy_keeps_history"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO former_state (environment_id, kind, owner_id, until, state)
  VALUES (
    OLD.environment_id, 'policy', OLD.id,
    GREATEST(
      LEAST(date_trunc('milliseconds', clock_timestamp()), NULLIF(NEW.updated_at, OLD.updated_at)),
      (SELECT max(earlier.until) FROM former_state earlier
        WHERE earlier.environment_id = OLD.environment_id AND earlier.owner_id = OLD.id)
    ),
    to_jsonb(OLD) || jsonb_build_object('entitlements', COALESCE((
      SELECT jsonb_agg(entitlement.code ORDER BY entitlement.code)
        FROM policy_entitlement inherited JOIN entitlement ON entitlement.id = inherited.entitlement_id
       WHERE inherited.policy_id = OLD.id), '[]'))
  );
  RETURN NULL;
END
$$;
