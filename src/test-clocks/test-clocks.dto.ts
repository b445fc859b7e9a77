import { MetadataField, Timestamp } from '../core/fields.js';
import { ResourceView, resourceFields } from '../core/resource.js';
import type { EnvironmentName } from '../domain/api-key.js';
import type { Metadata } from '../domain/metadata.js';
import type { TestClock } from '../generated/prisma/client.js';

export class CreateTestClockBody {
  @Timestamp({ help: 'Where it begins; before the year 9000.' })
  frozenAt!: Date;

  @MetadataField({ optional: true, default: {} })
  metadata?: Metadata;
}

export class AdvanceTestClockBody {
  @Timestamp({ help: 'Its new time: after the present one, before the year 9000.', example: '2027-01-15T10:30:00.000Z' })
  to!: Date;
}

export class TestClockView extends ResourceView {
  @Timestamp({ help: "The clock's time now: it stands until the clock is advanced." })
  frozenAt!: Date;
}

export function toTestClockView(row: TestClock, environment: EnvironmentName): TestClockView {
  return { ...resourceFields(row, environment), frozenAt: row.frozenAt };
}
