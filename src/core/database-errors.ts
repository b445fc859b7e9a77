import { fingerprintTaken } from '../domain/activation.js';
import { LatchkeyError, taken } from '../domain/errors.js';

/** What the database says, in the language of the contract. */

/** Unique indexes by name, and the field that a caller would have to change. */
const uniqueFields: Record<string, string> = {
  account_slug_key: 'slug',
  product_code_key: 'code',
  entitlement_code_key: 'code',
  license_key_digest_key: 'key',
  membership_account_id_user_id_key: 'userId',
  membership_email_key: 'email',
};

/** SQLSTATE classes and codes that mean "not now": https://www.postgresql.org/docs/current/errcodes-appendix.html */
const UNAVAILABLE_STATES = /^(08|53|57P0|25006|40|55P03|57014)/;
const UNIQUE_VIOLATION = '23505';
/** Raised by our trigger `machine_is_unique`. */
const FINGERPRINT_TAKEN = 'LK001';
const UNAVAILABLE_PRISMA_CODES = new Set([
  'P1000',
  'P1001',
  'P1002',
  'P1003',
  'P1008',
  'P1010',
  'P1011',
  'P1017',
  'P2024',
  'P2028',
  'P2034',
  'P2037',
]);
const UNAVAILABLE_SYSTEM_CODES = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
]);
const UNAVAILABLE_MESSAGES =
  /connection terminated|timeout exceeded when trying to connect|server closed the connection|client has encountered a connection error|cannot use a pool after calling end/i;

/** Null when it is no database error that has a meaning for callers. */
export function fromDatabase(thrown: unknown): LatchkeyError | null {
  for (const error of causes(thrown)) {
    const constraint = violatedConstraint(error);
    if (constraint !== null) {
      const field = Object.entries(uniqueFields).find(([name]) => constraint.includes(name))?.[1];
      if (field !== undefined) return taken(field);
    }
    if (error.originalCode === FINGERPRINT_TAKEN) return fingerprintTaken();
    if (isUnavailable(error)) return new LatchkeyError('UNAVAILABLE', 'The database is away or too busy. Try again shortly.');
  }
  return null;
}

interface DatabaseFault {
  code?: string;
  originalCode?: string;
  constraint?: unknown;
  message?: string;
  originalMessage?: string;
  kind?: string;
}

function violatedConstraint(error: DatabaseFault): string | null {
  if (error.code === UNIQUE_VIOLATION && typeof error.constraint === 'string') return error.constraint;
  if (error.originalCode === UNIQUE_VIOLATION || error.kind === 'UniqueConstraintViolation')
    return `${JSON.stringify(error.constraint ?? '')} ${error.originalMessage ?? ''}`;
  return null;
}

function isUnavailable(error: DatabaseFault): boolean {
  const code = error.originalCode ?? error.code ?? '';
  if (UNAVAILABLE_PRISMA_CODES.has(code) || UNAVAILABLE_SYSTEM_CODES.has(code)) return true;
  if (/^[0-9A-Z]{5}$/.test(code) && UNAVAILABLE_STATES.test(code)) return true;
  return UNAVAILABLE_MESSAGES.test(error.message ?? '');
}

/** The error itself and what lies under it: Prisma wraps its adapter's errors, which wrap PostgreSQL's. */
function* causes(thrown: unknown): Generator<DatabaseFault> {
  let error: unknown = thrown;
  for (let depth = 0; depth < 6 && typeof error === 'object' && error !== null; depth += 1) {
    yield error;
    const { cause, meta, errors } = error as { cause?: unknown; meta?: { driverAdapterError?: unknown }; errors?: unknown[] };
    error = cause ?? meta?.driverAdapterError ?? errors?.[0];
  }
}
