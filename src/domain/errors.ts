/**
 * Everything that can go wrong, as a closed set of codes with one mapping to the wire (contract: http.md, "Errors").
 * Clients switch on `code`; it never changes its meaning.
 */
export const errorCodes = {
  VALIDATION_ERROR: {
    status: 400,
    title: 'The request is not valid',
    help: 'Every problem is listed in `details.issues`, each with the path of its field.',
  },
  MALFORMED_JSON: {
    status: 400,
    title: 'The body is not JSON',
    help: 'The body could not be parsed. Check quotes, commas and encoding (UTF-8).',
  },
  INVALID_CURSOR: {
    status: 400,
    title: 'The cursor is not valid',
    help: 'Use `pagination.nextCursor` of the previous page, unchanged, with the same `sort`.',
  },
  AUTH_FAILED: {
    status: 401,
    title: 'Authentication failed',
    help: 'The credential is missing, malformed or unknown, or two different ones were sent.',
  },
  API_KEY_EXPIRED: { status: 401, title: 'The API key has expired', help: 'Create a new key.' },
  API_KEY_REVOKED: { status: 401, title: 'The API key was revoked', help: 'Create a new key.' },
  TOKEN_EXPIRED: { status: 401, title: 'The token has expired', help: 'Get a new one from `POST /api/v1/auth/token`.' },
  INSUFFICIENT_SCOPE: { status: 403, title: 'A scope is missing', help: '`details.requiredScopes` names what the route needs.' },
  IP_NOT_ALLOWED: {
    status: 403,
    title: 'The key may not be used from this address',
    help: 'The key names the addresses that it may be used from (`allowedIps`).',
  },
  LICENSE_SUSPENDED: {
    status: 403,
    title: 'The license is suspended',
    help: 'The vendor can reinstate it. Deactivating a machine still works.',
  },
  LICENSE_REVOKED: { status: 403, title: 'The license was revoked', help: 'This is final. Deactivating a machine still works.' },
  LICENSE_EXPIRED: { status: 403, title: 'The license has expired', help: 'Renew it. Deactivating a machine still works.' },
  LICENSE_BANNED: { status: 403, title: 'The license is banned', help: 'The vendor can unban it. Deactivating a machine still works.' },
  AUTHENTICATION_NOT_ALLOWED: {
    status: 403,
    title: 'This kind of credential may not activate',
    help: "The policy's `authentication` says who may activate machines.",
  },
  TRANSFER_NOT_ALLOWED: {
    status: 403,
    title: 'The license key may not replace a machine',
    help: "The policy's `allowMachineTransfer` says so; the vendor can do it.",
  },
  ORIGIN_NOT_ALLOWED: {
    status: 403,
    title: 'Pages of this origin may not open a WebSocket',
    help: '`CORS_ORIGINS` names the origins whose browsers may call management routes.',
  },
  ACCOUNT_SUSPENDED: { status: 403, title: 'The account is suspended', help: "Its keys are refused; its customers' validations go on." },
  NOT_FOUND: { status: 404, title: 'Not found', help: 'There is no such thing, or none that this credential may see.' },
  CONFLICT: {
    status: 409,
    title: 'Conflict with the present state',
    help: 'A unique value is taken (`details.field`), or the state does not allow the change (`details.status`).',
  },
  IDEMPOTENCY_IN_PROGRESS: {
    status: 409,
    title: 'The first request with this key is still running',
    help: 'Send the same request again shortly; it then gets the first answer.',
  },
  PAYLOAD_TOO_LARGE: {
    status: 413,
    title: 'The body is too large',
    help: 'Bodies are limited to 256 KiB; those of bulk creation to 4 MiB, files for import to 64 MiB.',
  },
  UNSUPPORTED_MEDIA_TYPE: {
    status: 415,
    title: 'The media type is not supported',
    help: 'Send `Content-Type: application/json`, UTF-8; for import `text/csv` or `application/x-ndjson`.',
  },
  MACHINE_LIMIT_EXCEEDED: {
    status: 422,
    title: 'No seat is left',
    help: '`details.machines` lists what holds the seats; deactivate one to free its seat.',
  },
  CORE_LIMIT_EXCEEDED: {
    status: 422,
    title: "The license's processor cores are used up",
    help: '`details` has the limit and what is in use.',
  },
  MEMORY_LIMIT_EXCEEDED: { status: 422, title: "The license's memory is used up", help: '`details` has the limit and what is in use.' },
  DISK_LIMIT_EXCEEDED: { status: 422, title: "The license's disk space is used up", help: '`details` has the limit and what is in use.' },
  PROCESS_LIMIT_EXCEEDED: {
    status: 422,
    title: 'No process lease is left',
    help: '`details.processes` lists those that count together; end one, or wait until one ends by itself.',
  },
  USES_EXCEEDED: {
    status: 422,
    title: 'No uses are left',
    help: 'Nothing was counted; `details` has the limit and what was used. In validation this is a verdict, not an error.',
  },
  USES_BELOW_ZERO: {
    status: 422,
    title: 'The usage counter would fall below zero',
    help: 'Nothing was counted; `details.used` is what there is.',
  },
  FINGERPRINT_TAKEN: {
    status: 422,
    title: 'The fingerprint is active elsewhere',
    help: "The policy's `fingerprintUniqueness` lets a machine have one license. Deactivate it there first.",
  },
  MACHINE_DEAD: {
    status: 422,
    title: 'The machine is dead',
    help: 'Its heartbeat stayed away for too long. Deactivate and activate it again.',
  },
  OFFLINE_NOT_ALLOWED: {
    status: 422,
    title: 'The policy allows no license or machine files',
    help: "The policy's `offlineAllowed` says so.",
  },
  OFFLINE_TTL_EXCEEDED: {
    status: 422,
    title: 'The file would last longer than the policy allows',
    help: "`details.max` is how many seconds it may last: the policy's `offlineMaxDays`.",
  },
  LICENSE_NOT_VALID: {
    status: 422,
    title: 'A validation would fail now',
    help: '`details.code` is what a validation answers.',
  },
  PRODUCT_HAS_LICENSES: { status: 422, title: 'The product has licenses', help: 'Delete or transfer them first.' },
  POLICY_HAS_LICENSES: { status: 422, title: 'The policy has licenses', help: 'Delete or transfer them first.' },
  TEST_CLOCK_HAS_LICENSES: { status: 422, title: 'The test clock has licenses', help: 'Delete them, or detach them from it, first.' },
  WEBHOOK_LIMIT_EXCEEDED: {
    status: 422,
    title: 'No more webhook endpoints',
    help: 'The environment has as many as it can have (`details.limit`). Delete one, or give one of them more `events`.',
  },
  NOT_RENEWABLE: {
    status: 422,
    title: 'The license cannot be renewed',
    help: 'It has no term to add: it is perpetual, or its clock has not started.',
  },
  IDEMPOTENCY_KEY_REUSED: {
    status: 422,
    title: 'The idempotency key was used for another request',
    help: 'A key stands for one request: the same body, within 24 hours. Make a new one for another.',
  },
  UPGRADE_REQUIRED: {
    status: 426,
    title: 'This is a WebSocket',
    help: 'Open it with a WebSocket client (RFC 6455, version 13).',
  },
  RATE_LIMITED: { status: 429, title: 'Too many requests', help: 'Wait for the seconds in `Retry-After`.' },
  INTERNAL_ERROR: { status: 500, title: 'Something broke on our side', help: 'Quote the `requestId`.' },
  UNAVAILABLE: { status: 503, title: 'Temporarily unavailable', help: 'Try again after the seconds in `Retry-After`.' },
} as const satisfies Record<string, { status: number; title: string; help: string }>;

export type ErrorCode = keyof typeof errorCodes;

/** What a request is refused with that needs a license which may run. */
export const licenseStateCodes = [
  'LICENSE_SUSPENDED',
  'LICENSE_REVOKED',
  'LICENSE_EXPIRED',
  'LICENSE_BANNED',
] as const satisfies readonly ErrorCode[];

/** One thing wrong with one field; `path` is as a client would write it: `components[0].kind`. */
export interface Issue {
  path: string;
  message: string;
}

/** The one error that Latchkey throws on purpose. The message is for people and may be shown to any caller. */
export class LatchkeyError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    readonly details?: Record<string, unknown>,
  ) {
    super(message);
    this.name = 'LatchkeyError';
  }

  get status(): number {
    return errorCodes[this.code].status;
  }
}

/** 404: not there, or not the caller's – the two are the same answer. `field` names a reference in the request body. */
export function notFound(what: string, field?: string): LatchkeyError {
  return new LatchkeyError('NOT_FOUND', `No such ${what}.`, field === undefined ? undefined : { field });
}

/** 400 with every issue. */
export function invalid(issues: readonly Issue[]): LatchkeyError {
  const [first] = issues;
  const more = issues.length > 1 ? ` (and ${String(issues.length - 1)} more)` : '';
  const where = first === undefined || first.path === '' ? '' : `${first.path}: `;
  return new LatchkeyError('VALIDATION_ERROR', `${where}${first?.message ?? 'The request is not valid.'}${more}`, { issues });
}

/** 409: another row has this value already. */
export function taken(field: string): LatchkeyError {
  return new LatchkeyError('CONFLICT', `This ${field} is taken.`, { field });
}
