/**
 * The oldest of what waits to be folded into the roll-ups: of the environment, and of any process's validations. Read by the
 * role of the hot paths: what a process has validated is of many tenants.
 */
export const FIND_OLDEST_WAITING = {
  name: 'find_oldest_waiting_for_roll_ups',
  text: `
    SELECT LEAST((SELECT changed_at FROM tally_change WHERE environment_id = $1 ORDER BY place LIMIT 1),
                 (SELECT min(counted_at) FROM validation_batch)) AS "waitsSince"`,
};
