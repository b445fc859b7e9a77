-- A tenant's work leaves its changes to the roll-ups and does nothing else with them (docs/decisions/0022-roll-ups.md): rebuilding
-- takes them away across tenants, like folding.
REVOKE SELECT, DELETE ON "tally_change" FROM latchkey_tenant;
