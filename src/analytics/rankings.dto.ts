import { ApiProperty } from '@nestjs/swagger';
import { Choice, Id, Integer, Nested, QueryInteger, Text } from '../core/fields.js';

export const rankedBy = ['licenses', 'products', 'ips', 'versions', 'platforms', 'fingerprints'] as const;
export type RankedBy = (typeof rankedBy)[number];

export const DEFAULT_LIMIT = 10;
const MAX_LIMIT = 100;

class MonthQuery {
  @Text({
    help: 'The month, UTC; default the current one. What is told by license, address or fingerprint is kept for this month and the two before it.',
    max: 7,
    pattern: /^[1-9]\d{3}-(0[1-9]|1[0-2])$/,
    patternHelp: 'must be a month, like 2026-01',
    optional: true,
    example: '2026-01',
  })
  month?: string;

  @QueryInteger({ help: 'How many to answer at most.', min: 1, max: MAX_LIMIT, optional: true, default: DEFAULT_LIMIT })
  limit?: number;
}

export class TopQuery extends MonthQuery {
  @Choice(rankedBy, { help: 'What is ranked.' })
  by!: RankedBy;

  @Choice(['validations'], { help: 'By how many of these.', optional: true, default: 'validations' })
  metric?: 'validations';
}

export class AnomaliesQuery extends MonthQuery {}

export class RankView {
  @Text({
    help: 'An id of a license or product, an address, a version, a platform, or a fingerprint. `(other)` stands for versions that were too many to tell apart.',
    max: 1000,
    example: '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e',
  })
  key!: string;

  @Text({
    help: "What people call it: a product's name; a license's name, else its user's name, else its id; of all others the key itself.",
    max: 1000,
    example: 'Ada Lovelace',
  })
  label!: string;

  @Integer({ help: 'How many in the month.', min: 1, example: 1200 })
  value!: number;
}

export class AnomalousLicenseView {
  @Id({ help: 'Id of the license.' })
  id!: string;

  @Text({ help: 'Its name; null = it has none.', max: 255, nullable: true, example: 'Site license' })
  name!: string | null;
}

export class AnomalyView {
  @Nested(() => AnomalousLicenseView, { help: 'The license.' })
  license!: AnomalousLicenseView;

  @Integer({ help: 'On how many different fingerprints it was seen in the month; beyond 1,000 more are not told apart.', example: 40 })
  fingerprints!: number;

  @Integer({
    help: 'From how many different addresses the software asked in the month; beyond 1,000 more are not told apart.',
    example: 12,
  })
  ips!: number;

  @Integer({
    help: 'The seats that explain it: its limit, or the machines that it has where an overage lets more in; at least 1.',
    min: 1,
    example: 2,
  })
  seats!: number;

  @ApiProperty({
    type: Number,
    description:
      'How many times more than its seats explain; above 1. A seat explains 3 fingerprints and 10 addresses a month; the greater excess counts.',
    example: 6.666666666666667,
  })
  suspicion!: number;
}
