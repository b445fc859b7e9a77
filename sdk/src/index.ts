/** The client of Latchkey for Node, Electron and browsers. It imports nothing of Node: see `@latchkey/sdk/node` for that. */
export { type ActivateOptions, type CheckOutOptions, createClient, type LatchkeyClient } from './client.js';
export type { DocumentKind, LicenseClaims, MachineClaims, Proof, ValidationClaims } from './documents.js';
export { ApiError, LatchkeyError, ProofError, type ProofProblem, UnreachableError } from './errors.js';
export { verifyFile, type VerifyFileOptions } from './files.js';
export type { HeartbeatOptions } from './heartbeats.js';
export type { Jwk, Jwks } from './keys.js';
export type { ClientOptions } from './options.js';
export { type KeyValueStorage, localStorageStore, memoryStore, type Store } from './store.js';
export type { Clock, RetryOptions } from './transport.js';
export type { Entitlement, License, Machine, Platform, ValidationBody } from './types.js';
export type { ServerProblem, ValidateOptions, Validation } from './validation.js';
