-- ---------------------------------------------------------------------------------------------------------------------
-- Where a fingerprint may be active only once, as the policy of the license says that it is to be active on
-- (`fingerprint_uniqueness`): on no other license of the policy, the product or the environment, whatever the policies of
-- those others say. Within one license machine_fingerprint_key holds it.
-- ---------------------------------------------------------------------------------------------------------------------

-- What is held for a fingerprint until the end of a transaction. One of 1024 of its environment: the number of locks that
-- one transaction may hold is limited, and a file with a hundred thousand machines is one transaction.
CREATE FUNCTION "fingerprint_slot"(environment uuid, fingerprint text) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
  SELECT hashtextextended('fingerprint ' || environment::text || ' ' || (hashtext(fingerprint) & 1023)::text, 0)
$$;

-- Also by a machine of a license that the caller's segment does not show. No more is told than the verdict.
CREATE FUNCTION "fingerprint_is_taken"(environment uuid, for_license uuid, wanted text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  segment text := COALESCE(current_setting('app.segment_id', true), '');
  is_taken boolean;
BEGIN
  PERFORM set_config('app.segment_id', '', true);
  SELECT EXISTS (
    SELECT FROM license AS own
      JOIN policy ON policy.id = own.policy_id
      JOIN machine ON machine.environment_id = environment AND machine.fingerprint = wanted
                  AND machine.deleted_at IS NULL AND machine.license_id <> own.id
      JOIN license AS other ON other.environment_id = environment AND other.id = machine.license_id
     WHERE own.environment_id = environment AND own.id = for_license
       AND CASE policy.fingerprint_uniqueness
             WHEN 'PER_POLICY' THEN other.policy_id = own.policy_id
             WHEN 'PER_PRODUCT' THEN other.product_id = own.product_id
             WHEN 'PER_ACCOUNT' THEN true
             ELSE false
           END
  ) INTO is_taken;
  PERFORM set_config('app.segment_id', segment, true);
  RETURN is_taken;
END
$$;

-- Not for long: a file that is imported in one transaction may hold it for minutes, and whoever waits has one of the few
-- connections of everybody. They are told to come again.
CREATE FUNCTION "hold_fingerprint"(environment uuid, fingerprint text) RETURNS void LANGUAGE plpgsql SET lock_timeout = '1s' AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(fingerprint_slot(environment, fingerprint));
END
$$;

-- Whoever activates: those that want one fingerprint come one after the other, and each sees, in a statement of its own,
-- what the one before has committed.
CREATE FUNCTION "machine_is_unique"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (SELECT policy.fingerprint_uniqueness FROM license JOIN policy ON policy.id = license.policy_id
       WHERE license.environment_id = NEW.environment_id AND license.id = NEW.license_id) <> 'PER_LICENSE' THEN
    PERFORM hold_fingerprint(NEW.environment_id, NEW.fingerprint);
    IF fingerprint_is_taken(NEW.environment_id, NEW.license_id, NEW.fingerprint) THEN
      RAISE EXCEPTION 'the fingerprint is active elsewhere' USING ERRCODE = 'LK001';
    END IF;
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER "machine_is_unique" BEFORE INSERT ON "machine"
  FOR EACH ROW WHEN (NEW.deleted_at IS NULL) EXECUTE FUNCTION "machine_is_unique"();

-- For licenses that are still to be made: the positions in `wanted` of the fingerprints that are taken. Each element says
-- {position, fingerprint, uniqueness, policy_id, product_id}. All are held until the end of the transaction, in one order
-- for everyone, so that what is free now is free when the machines are made.
CREATE FUNCTION "taken_fingerprints"(wanted jsonb) RETURNS SETOF integer LANGUAGE plpgsql AS $$
DECLARE
  environment uuid := current_setting('app.environment_id')::uuid;
  segment text := COALESCE(current_setting('app.segment_id', true), '');
  slot bigint;
BEGIN
  FOR slot IN
    SELECT DISTINCT fingerprint_slot(environment, one ->> 'fingerprint') FROM jsonb_array_elements(wanted) AS one ORDER BY 1
  LOOP
    PERFORM pg_advisory_xact_lock(slot);
  END LOOP;
  PERFORM set_config('app.segment_id', '', true);
  RETURN QUERY
    SELECT one.position
      FROM jsonb_to_recordset(wanted) AS one (position integer, fingerprint text, uniqueness text, policy_id uuid, product_id uuid)
     WHERE EXISTS (
       SELECT FROM machine JOIN license ON license.environment_id = environment AND license.id = machine.license_id
        WHERE machine.environment_id = environment AND machine.fingerprint = one.fingerprint AND machine.deleted_at IS NULL
          AND CASE one.uniqueness
                WHEN 'PER_POLICY' THEN license.policy_id = one.policy_id
                WHEN 'PER_PRODUCT' THEN license.product_id = one.product_id
                WHEN 'PER_ACCOUNT' THEN true
                ELSE false
              END);
  PERFORM set_config('app.segment_id', segment, true);
END
$$;

-- What a look at the seats of a license asks beside all that validation does.
GRANT SELECT ("segment_id") ON "license" TO latchkey_lookup;
