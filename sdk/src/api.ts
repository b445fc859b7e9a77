/** Made from the OpenAPI document by `npm run generate -w sdk`: do not edit. */

export type paths = Record<string, never>;
export type webhooks = Record<string, never>;
export interface components {
  schemas: {
    ActivateMachineBody: {
      /**
       * Format: uuid
       * @description The license to activate: for API keys, which must send it. A license key activates its own, whether it names it or not.
       * @example 0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e
       */
      licenseId?: string;
      /**
       * @description What identifies the machine: the same one on the same license is the same seat.
       * @example a1b2c3d4e5f6a7b8
       */
      fingerprint: string;
      /**
       * @description Name of the machine, for people.
       * @default null
       * @example Ada's laptop
       */
      name?: string | null;
      /**
       * @description What it runs on.
       * @default null
       * @example macos
       * @enum {string|null}
       */
      platform?: 'macos' | 'windows' | 'linux' | 'docker' | 'kubernetes' | 'other' | null;
      /**
       * @description Its host name.
       * @default null
       * @example adas-laptop.local
       */
      hostname?: string | null;
      /**
       * @description Its processor cores; counted against `maxCores`.
       * @default null
       * @example 8
       */
      cores?: number | null;
      /**
       * @description Its memory in MiB; counted against `maxMemoryMb`.
       * @default null
       * @example 16384
       */
      memoryMb?: number | null;
      /**
       * @description Its disk space in MiB; counted against `maxDiskMb`.
       * @default null
       * @example 512000
       */
      diskMb?: number | null;
      /**
       * Format: email
       * @description Who uses it.
       * @default null
       * @example ada@example.com
       */
      userEmail?: string | null;
      /**
       * @description Parts of the machine. A part's fingerprint is active with the machine, and counts in `fingerprintMatching` as its own does; the same one twice is one.
       * @default []
       */
      components?: components['schemas']['MachineComponent'][];
      /**
       * @description The vendor's own data: a flat object of strings, numbers, booleans and null; at most 50 keys of at most 64 characters, 16 KiB in all. Keys cannot be names that every JavaScript object has, like `constructor`.
       * @default {}
       * @example {
       *       "orderId": "A-1042"
       *     }
       */
      metadata?: {
        [key: string]: string | number | boolean | null;
      };
      /**
       * Format: uuid
       * @description A machine of the same license that gives its seat to this one, in one step: also on a full license. With a license key only where the policy has `allowMachineTransfer`. May be repeated: a swap that has happened is not done again.
       * @example 0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e
       */
      replaces?: string;
    };
    HeldEntitlementView: {
      /**
       * @description Its code.
       * @example pro
       */
      code: string;
      /**
       * Format: date-time
       * @description When it ends; null = as long as the license.
       * @example null
       */
      expiresAt: string | null;
      /**
       * @description How many; null = not counted.
       * @example null
       */
      quantity: number | null;
    };
    MachineComponent: {
      /**
       * @description What it is, in your own words.
       * @example motherboard
       */
      kind: string;
      /**
       * @description What identifies it.
       * @example MB-0042-7781
       */
      fingerprint: string;
    };
    MachineView: {
      /**
       * Format: uuid
       * @description UUID v7: sorts by time of creation.
       * @example 0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e
       */
      id: string;
      /**
       * @description The environment that it belongs to.
       * @example live
       * @enum {string}
       */
      environment: 'live' | 'test';
      /**
       * @description The vendor's own data: a flat object of strings, numbers, booleans and null; at most 50 keys of at most 64 characters, 16 KiB in all. Keys cannot be names that every JavaScript object has, like `constructor`.
       * @example {
       *       "orderId": "A-1042"
       *     }
       */
      metadata: {
        [key: string]: string | number | boolean | null;
      };
      /**
       * Format: date-time
       * @description When it was created.
       * @example 2026-01-15T10:30:00.000Z
       */
      createdAt: string;
      /**
       * Format: date-time
       * @description When it was last changed by a request.
       * @example 2026-01-15T10:30:00.000Z
       */
      updatedAt: string;
      /**
       * Format: uuid
       * @description The license whose seat it holds.
       * @example 0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e
       */
      licenseId: string;
      /**
       * @description What identifies it.
       * @example a1b2c3d4e5f6a7b8
       */
      fingerprint: string;
      /**
       * @description Its name.
       * @example Ada's laptop
       */
      name: string | null;
      /**
       * @description What it runs on.
       * @example macos
       * @enum {string|null}
       */
      platform: 'macos' | 'windows' | 'linux' | 'docker' | 'kubernetes' | 'other' | null;
      /**
       * @description Its host name.
       * @example null
       */
      hostname: string | null;
      /**
       * @description Its processor cores.
       * @example 8
       */
      cores: number | null;
      /**
       * @description Its memory in MiB.
       * @example 16384
       */
      memoryMb: number | null;
      /**
       * @description Its disk space in MiB.
       * @example 512000
       */
      diskMb: number | null;
      /**
       * Format: email
       * @description Who uses it.
       * @example ada@example.com
       */
      userEmail: string | null;
      /** @description Parts of the machine. */
      components: components['schemas']['MachineComponent'][];
      /**
       * @description Computed now: `dead` without beats where the policy requires them, `not_started` while the first is awaited.
       * @example active
       * @enum {string}
       */
      status: 'active' | 'dead' | 'not_started';
      /**
       * Format: date-time
       * @description Its last beat.
       * @example null
       */
      lastHeartbeatAt: string | null;
      /**
       * Format: date-time
       * @description By when it is to beat again: where the policy requires beats it is dead from then on. Null = not before its first beat.
       * @example null
       */
      nextHeartbeatAt: string | null;
      /**
       * @description Address that the activation came from.
       * @example 203.0.113.7
       */
      ip: string | null;
    };
    NoticeView: {
      /**
       * @description Stable; switch on this.
       * @example IN_GRACE_PERIOD
       * @enum {string}
       */
      code:
        | 'VALID'
        | 'NOT_FOUND'
        | 'BANNED'
        | 'REVOKED'
        | 'SUSPENDED'
        | 'NOT_STARTED'
        | 'SCOPE_REQUIRED'
        | 'PRODUCT_MISMATCH'
        | 'POLICY_MISMATCH'
        | 'USER_MISMATCH'
        | 'VERSION_NOT_ALLOWED'
        | 'EXPIRED'
        | 'IN_GRACE_PERIOD'
        | 'CHECK_IN_OVERDUE'
        | 'FINGERPRINT_REQUIRED'
        | 'NOT_ACTIVATED'
        | 'FINGERPRINT_NOT_FOUND'
        | 'HEARTBEAT_DEAD'
        | 'HEARTBEAT_REQUIRED'
        | 'MACHINE_LIMIT_EXCEEDED'
        | 'CORE_LIMIT_EXCEEDED'
        | 'MEMORY_LIMIT_EXCEEDED'
        | 'DISK_LIMIT_EXCEEDED'
        | 'PROCESS_LIMIT_EXCEEDED'
        | 'ENTITLEMENTS_MISSING'
        | 'USES_EXCEEDED';
      /**
       * @description For people.
       * @example The license has expired and is in its grace period.
       */
      message: string;
    };
    ValidateKeyBody: {
      /**
       * @description The machine that asks; joins `fingerprints` when both are sent.
       * @example a1b2c3d4e5f6a7b8
       */
      fingerprint?: string;
      /**
       * @description Several fingerprints of one machine, its own and its components'; the policy's `fingerprintMatching` says how many must be active.
       * @example [
       *       "a1b2c3d4e5f6a7b8"
       *     ]
       */
      fingerprints?: string[];
      /**
       * @description Entitlements that the license must have.
       * @example [
       *       "pro"
       *     ]
       */
      entitlements?: string[];
      /**
       * @description Id or code of the product that asks.
       * @example acme-editor
       */
      product?: string;
      /**
       * Format: uuid
       * @description The policy that the license must follow.
       * @example 0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e
       */
      policy?: string;
      /**
       * @description Version of the software that asks.
       * @example 1.4.2
       */
      version?: string;
      /**
       * Format: email
       * @description The user that the license must belong to, whatever the case.
       * @example ada@example.com
       */
      userEmail?: string;
      /**
       * @description Comes back in the answer, and in its signed form `token`: a new one each time shows that the answer is not an older one.
       * @example f3a9c1
       */
      nonce?: string;
      /**
       * @description Count so many uses, if the license is valid.
       * @example 1
       */
      increment?: number;
      /**
       * @description The license key. A generated one is read forgivingly: case, spaces, missing dashes, O for 0, I or L for 1.
       * @example ACME-7K2M-9XQ4-3VBN-0HTR-5WPC-8DZF
       */
      key: string;
      /**
       * @description Id or slug of the account: needed for a vendor-chosen key, checked when sent with any other.
       * @example acme
       */
      account?: string;
    };
    ValidatedLicenseView: {
      /**
       * Format: uuid
       * @description Its id.
       * @example 0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e
       */
      id: string;
      /**
       * @description Its name.
       * @example null
       */
      name: string | null;
      /**
       * @description Its status now.
       * @example active
       * @enum {string}
       */
      status: 'active' | 'expired' | 'suspended' | 'revoked' | 'banned';
      /**
       * Format: uuid
       * @description Its product.
       * @example 0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e
       */
      productId: string;
      /**
       * Format: uuid
       * @description Its policy.
       * @example 0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e
       */
      policyId: string;
      /**
       * Format: date-time
       * @description When it ends; null = perpetual, or its clock has not started.
       * @example 2026-01-15T10:30:00.000Z
       */
      expiresAt: string | null;
      /**
       * @description Whether its policy is a trial.
       * @example false
       */
      isTrial: boolean;
      /**
       * @description Its seats; null = no limit.
       * @example 2
       */
      maxMachines: number | null;
      /**
       * @description Seats in use.
       * @example 1
       */
      machineCount: number;
      /**
       * @description How many uses it has; null = no limit.
       * @example null
       */
      maxUses: number | null;
      /**
       * @description Uses counted so far.
       * @example 0
       */
      usesCount: number;
      /**
       * @description Its user's name.
       * @example Ada Lovelace
       */
      userName: string | null;
      /**
       * @description The vendor's own data: a flat object of strings, numbers, booleans and null; at most 50 keys of at most 64 characters, 16 KiB in all. Keys cannot be names that every JavaScript object has, like `constructor`.
       * @example {
       *       "orderId": "A-1042"
       *     }
       */
      metadata: {
        [key: string]: string | number | boolean | null;
      };
      /**
       * @description The environment that it belongs to.
       * @example live
       * @enum {string}
       */
      environment: 'live' | 'test';
    };
    ValidatedMachineView: {
      /**
       * Format: uuid
       * @description Its id.
       * @example 0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e
       */
      id: string;
      /**
       * @description Its fingerprint.
       * @example a1b2c3d4e5f6a7b8
       */
      fingerprint: string;
      /**
       * @description Its status now.
       * @example active
       * @enum {string}
       */
      status: 'active' | 'dead' | 'not_started';
      /**
       * Format: date-time
       * @description When it must have beaten again; null = never.
       * @example null
       */
      nextHeartbeatAt: string | null;
    };
    ValidationView: {
      /**
       * @description May this copy run?
       * @example true
       */
      valid: boolean;
      /**
       * @description Why: the first rule that fails, else the first that warns, else VALID.
       * @example VALID
       * @enum {string}
       */
      code:
        | 'VALID'
        | 'NOT_FOUND'
        | 'BANNED'
        | 'REVOKED'
        | 'SUSPENDED'
        | 'NOT_STARTED'
        | 'SCOPE_REQUIRED'
        | 'PRODUCT_MISMATCH'
        | 'POLICY_MISMATCH'
        | 'USER_MISMATCH'
        | 'VERSION_NOT_ALLOWED'
        | 'EXPIRED'
        | 'IN_GRACE_PERIOD'
        | 'CHECK_IN_OVERDUE'
        | 'FINGERPRINT_REQUIRED'
        | 'NOT_ACTIVATED'
        | 'FINGERPRINT_NOT_FOUND'
        | 'HEARTBEAT_DEAD'
        | 'HEARTBEAT_REQUIRED'
        | 'MACHINE_LIMIT_EXCEEDED'
        | 'CORE_LIMIT_EXCEEDED'
        | 'MEMORY_LIMIT_EXCEEDED'
        | 'DISK_LIMIT_EXCEEDED'
        | 'PROCESS_LIMIT_EXCEEDED'
        | 'ENTITLEMENTS_MISSING'
        | 'USES_EXCEEDED';
      /**
       * @description The same for people.
       * @example The license is valid.
       */
      message: string;
      /**
       * @description What is tolerated for now.
       * @example []
       */
      warnings: components['schemas']['NoticeView'][];
      /** @description The license, without its key and e-mail; null only for NOT_FOUND. */
      license: components['schemas']['ValidatedLicenseView'] | null;
      /** @description That of the first of the sent fingerprints that is active, its own or a component's; null = none. */
      machine: components['schemas']['ValidatedMachineView'] | null;
      /** @description What the license grants now. */
      entitlements: components['schemas']['HeldEntitlementView'][];
      /**
       * Format: date-time
       * @description When this was decided.
       * @example 2026-01-15T10:30:00.000Z
       */
      checkedAt: string;
      /**
       * @description What was sent; null = nothing.
       * @example null
       */
      nonce: string | null;
      /**
       * @description The answer as a signed document: a compact JWS of the type `latchkey-validation+jwt`, for an app to check with the keys of `/.well-known/jwks.json` and to go on by, until its `exp`, while the server cannot be reached. null = no nonce was sent, or there is no such license.
       * @example null
       */
      token: string | null;
    };
  };
  responses: never;
  parameters: never;
  requestBodies: never;
  headers: never;
  pathItems: never;
}
export type $defs = Record<string, never>;
export type operations = Record<string, never>;
