-- What belongs to a machine goes with it, as before, but once for all machines of a statement. (A trigger that sees tables
-- of what a statement changed can not name the columns that it waits for: it asks the rows.)
--
-- This function, like the others here, finds rows by their ids and nothing else. Its plans are made once a session, when a
-- table may still be as good as empty, and kept when it is large: so a read from end to end is no choice.
DROP TRIGGER "machine_is_gone" ON "machine";
CREATE OR REPLACE FUNCTION "machine_is_gone"() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
DECLARE
  gone uuid[] := ARRAY(
    SELECT after.id FROM after JOIN before ON before.id = after.id WHERE before.deleted_at IS NULL AND after.deleted_at IS NOT NULL);
  environments uuid[];
BEGIN
  IF gone = '{}' THEN
    RETURN NULL;
  END IF;
  environments := ARRAY(SELECT DISTINCT environment_id FROM after);
  DELETE FROM machine_pulse WHERE environment_id = ANY(environments) AND machine_id = ANY(gone);
  DELETE FROM machine_component WHERE machine_id = ANY(gone);
  DELETE FROM machine_process WHERE machine_id = ANY(gone);
  RETURN NULL;
END
$$;
CREATE TRIGGER "machine_is_gone" AFTER UPDATE ON "machine"
  REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION "machine_is_gone"();

-- The same rows, one statement for all entries of a statement.
DROP TRIGGER "audit_entry_is_pending" ON "audit_entry";
CREATE OR REPLACE FUNCTION "audit_entry_is_pending"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO audit_pending (entry_id, chain_id)
  SELECT id, COALESCE(environment_id, '00000000-0000-0000-0000-000000000000') FROM made;
  RETURN NULL;
END
$$;
CREATE TRIGGER "audit_entry_is_pending" AFTER INSERT ON "audit_entry"
  REFERENCING NEW TABLE AS made FOR EACH STATEMENT EXECUTE FUNCTION "audit_entry_is_pending"();

ALTER FUNCTION "license_keeps_history"() SET enable_seqscan = off;
