-- Beats of all tenants are kept together, in one statement (Database.stamp): it finds its rows and sets their times, no more.
GRANT SELECT ("environment_id", "machine_id", "last_heartbeat_at", "death_announced") ON "machine_pulse" TO latchkey_system;
GRANT UPDATE ("last_heartbeat_at") ON "machine_pulse" TO latchkey_system;
