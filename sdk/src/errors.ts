/** Anything that went wrong and is not an answer about the license. `code` is stable: switch on it, not on the message. */
export class LatchkeyError extends Error {
  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The server answered, and refused: `code` is one of its error codes (`MACHINE_LIMIT_EXCEEDED`, `LICENSE_SUSPENDED`, …). */
export class ApiError extends LatchkeyError {
  constructor(
    readonly status: number,
    code: string,
    message: string,
    /** More facts, by code: see the API reference. Not signed. */
    readonly details: Readonly<Record<string, unknown>>,
    /** For the vendor's support: it is in the server's log. */
    readonly requestId: string | null,
    /** What `Retry-After` asked for; null = nothing. */
    readonly retryAfterMs: number | null,
  ) {
    super(code, message);
  }
}

/** No usable answer came: no connection, no answer in time, or something that is not Latchkey's JSON. */
export class UnreachableError extends LatchkeyError {
  constructor(message: string, options?: ErrorOptions) {
    super('unreachable', message, options);
  }
}

/** What can be wrong with a document that claims to be signed by Latchkey. */
export type ProofProblem =
  | 'malformed'
  | 'wrong_type'
  | 'unknown_key'
  | 'bad_signature'
  | 'wrong_account'
  | 'wrong_environment'
  | 'wrong_license'
  | 'wrong_fingerprint'
  | 'wrong_nonce'
  | 'cannot_decrypt'
  | 'expired'
  | 'clock_set_back';

/** A document that proves nothing here; `code` says why. */
export class ProofError extends LatchkeyError {
  constructor(
    readonly problem: ProofProblem,
    message: string,
    options?: ErrorOptions,
  ) {
    super(problem, message, options);
  }
}

/** Fails with `invalid_options` unless what the app gave is what it must be. */
export function demand(holds: boolean, message: string): asserts holds {
  if (!holds) throw new LatchkeyError('invalid_options', `${message}.`);
}

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
