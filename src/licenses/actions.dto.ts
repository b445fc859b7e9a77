import { PickType } from '@nestjs/swagger';
import { Id, Integer, Timestamp } from '../core/fields.js';
import { MAX_INCREMENT } from '../domain/usage.js';
import { EntitlementCodes } from '../entitlements/entitlements.dto.js';
import { CreateLicenseBody } from './licenses.dto.js';

export class TransferLicenseBody {
  @Id({ help: 'The policy to follow from now on: any of the environment, also one of another product.' })
  policyId!: string;
}

export class IncrementUsageBody {
  @Integer({
    help: 'What to count: up, or with a minus down; not 0. A license key counts only up.',
    min: -MAX_INCREMENT,
    max: MAX_INCREMENT,
    example: 1,
  })
  increment!: number;
}

const MAX_OVERLAP_SECONDS = 2_592_000;
const DEFAULT_OVERLAP_SECONDS = 86_400;

export class RotateLicenseKeyBody extends PickType(CreateLicenseBody, ['key']) {
  @Integer({
    help: "For how long the old key goes on working, in seconds of the license's clock; 0 = it is unknown at once.",
    max: MAX_OVERLAP_SECONDS,
    optional: true,
    default: DEFAULT_OVERLAP_SECONDS,
    example: 3600,
  })
  overlapSeconds: number = DEFAULT_OVERLAP_SECONDS;
}

export class AttachLicenseEntitlementsBody {
  @EntitlementCodes({ help: 'Codes of entitlements of the environment.', minItems: 1 })
  codes!: string[];

  @Timestamp({ help: 'When they end; null = as long as the license.', optional: true, nullable: true, default: null, example: null })
  expiresAt?: Date | null;

  @Integer({ help: 'How many, where the vendor counts; null = not counted.', optional: true, nullable: true, default: null, example: 5 })
  quantity?: number | null;
}
