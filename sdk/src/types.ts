import type { components } from './api.js';

/** What the API answers, as its reference describes it (api.ts is generated from it). */

type Schemas = components['schemas'];

/** An entitlement that the license has; `expiresAt` is ISO 8601, null = as long as the license. */
export type Entitlement = Schemas['HeldEntitlementView'];
/** What a license shows to its own app: no key, no e-mail. */
export type License = Schemas['ValidatedLicenseView'];
/** A machine that has a seat. */
export type Machine = Schemas['MachineView'];
export type ActivateBody = Schemas['ActivateMachineBody'];
/** The body of a validation: for display only, nothing of it is signed. */
export type ValidationBody = Schemas['ValidationView'];
export type Platform = NonNullable<ActivateBody['platform']>;
