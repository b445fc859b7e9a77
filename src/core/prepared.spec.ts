import { describe, expect, it } from '@jest/globals';
import { prepared, PREPARED, PreparedStatements } from './prepared.js';

/** The name that a statement has when it has come often. */
function nameOf(text: string, statements = new PreparedStatements()): string | undefined {
  for (let time = 0; time < 10; time += 1) statements.nameOf(text);
  return statements.nameOf(text);
}

describe('statements that are prepared', () => {
  it.each<[string, string]>([
    ['one that says so', `${prepared.sql} SELECT 1 FROM license WHERE id = $1 ORDER BY id LIMIT 1`],
    [
      'an insertion of rows that are given as JSON',
      'INSERT INTO event (id, type) SELECT id, type FROM jsonb_populate_recordset(NULL::event, $1)',
    ],
    ["Prisma's insertion", 'INSERT INTO "public"."product" ("id","name") VALUES ($1,$2) RETURNING "public"."product"."id"'],
    [
      "Prisma's reading by one id",
      'SELECT "public"."policy"."id" FROM "public"."policy" WHERE ("public"."policy"."id" = $1 AND 1=1) LIMIT $2 OFFSET $3',
    ],
  ])('are those with one way to their rows: %s', (_, text) => {
    expect(nameOf(text)).toMatch(/^latchkey_[0-9a-f]{32}$/);
  });

  it.each<[string, string]>([
    [
      'a list',
      'SELECT "public"."license"."id" FROM "public"."license" WHERE 1=1 ORDER BY "public"."license"."created_at" DESC LIMIT $1 OFFSET $2',
    ],
    ['a count', 'SELECT COUNT(*) FROM license WHERE environment_id = $1'],
    ['an insertion of what a query finds', 'INSERT INTO event (id) SELECT id FROM license WHERE expires_at < $1'],
    ['a change of many rows', 'UPDATE license SET suspended_at = $1 WHERE policy_id = $2'],
  ])('are never those whose plan depends on their values: %s', (_, text) => {
    expect(nameOf(text)).toBeUndefined();
  });

  it('are those that come again, and have one name for one text in every process', () => {
    const [one, other] = [new PreparedStatements(), new PreparedStatements()];
    const text = `${PREPARED} SELECT 1`;
    expect(one.nameOf(text)).toBeUndefined();
    expect(nameOf(text, one)).toBe(nameOf(text, other));
    expect(nameOf(text, one)).not.toBe(nameOf(`${PREPARED} SELECT 2`, one));
  });

  it('are so many and no more, whatever callers make the server ask', () => {
    const statements = new PreparedStatements();
    const names = Array.from({ length: 2000 }, (_, at) => nameOf(`${PREPARED} SELECT ${at}`, statements));
    expect(names.filter((name) => name !== undefined).length).toBeLessThanOrEqual(250);
    expect(nameOf(`${PREPARED} SELECT 0`, statements)).toBeDefined();
  });
});
