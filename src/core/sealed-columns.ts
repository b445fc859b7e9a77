/**
 * Every column that is sealed under the master key: what a rotation seals anew. A test compares them with the schema. The
 * contexts are those that their owners seal with.
 */
export interface SealedColumn {
  table: string;
  /** The primary key, which rows are walked through by. */
  key: string;
  keyType: 'uuid' | 'bytea';
  column: string;
  /** Rows of one transaction: as many as are small enough to be held in memory at once. */
  portion: number;
  /** What a row is sealed for; `key` as text, bytes in hexadecimal digits. */
  context: (key: string) => string;
}

export const sealedColumns: readonly SealedColumn[] = [
  { table: 'license', key: 'id', keyType: 'uuid', column: 'key_sealed', portion: 250, context: (id) => id },
  { table: 'webhook_secret', key: 'id', keyType: 'uuid', column: 'sealed', portion: 250, context: (id) => `webhook-secret:${id}` },
  { table: 'signing_key', key: 'id', keyType: 'uuid', column: 'private_key_sealed', portion: 250, context: (id) => `signing-key:${id}` },
  // An answer to a request for a thousand licenses has a megabyte.
  { table: 'idempotency_key', key: 'digest', keyType: 'bytea', column: 'body_sealed', portion: 20, context: sealedAnswerContext },
];

/** `digest` of the idempotency key, in hexadecimal digits. */
export function sealedAnswerContext(digest: string): string {
  return `idempotency ${digest}`;
}
