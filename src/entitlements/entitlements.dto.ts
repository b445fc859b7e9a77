import { PartialType } from '@nestjs/swagger';
import { MetadataField, Text, TextList } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import { ResourceView, resourceFields } from '../core/resource.js';
import type { EnvironmentName } from '../domain/api-key.js';
import type { Metadata } from '../domain/metadata.js';
import type { Entitlement } from '../generated/prisma/client.js';

const CODE = { min: 1, max: 100, pattern: /^[a-z0-9_-]+$/, patternHelp: 'must be lower-case letters, digits, _ and -' };

/** A list of entitlement codes, wherever one is taken. */
export const EntitlementCodes = (options: { help: string; optional?: boolean; minItems?: number; maxItems?: number }): PropertyDecorator =>
  TextList({ maxItems: 100, example: ['pro'], ...CODE, patternHelp: 'must each be lower-case letters, digits, _ and -', ...options });

/** One code of an entitlement. */
export const EntitlementCode = (options: { help: string }): PropertyDecorator => Text({ ...CODE, example: 'pro', ...options });

export class CreateEntitlementBody {
  @Text({ ...CODE, help: 'What software asks for; unique in the environment.', example: 'pro' })
  code!: string;

  @Text({ help: 'Name for people.', max: 255, example: 'Pro features' })
  name!: string;

  @Text({ help: 'What it grants.', max: 1000, optional: true, nullable: true, default: null, example: null })
  description?: string | null;

  @MetadataField({ optional: true, default: {} })
  metadata?: Metadata;
}

export class UpdateEntitlementBody extends PartialType(CreateEntitlementBody, { skipNullProperties: false }) {}

/** Which entitlements to attach. */
export class AttachEntitlementsBody {
  @EntitlementCodes({ help: 'Codes of entitlements of the environment.', minItems: 1 })
  codes!: string[];
}

export class EntitlementView extends ResourceView {
  @Text({ help: 'What software asks for.', max: 100, example: 'pro' })
  code!: string;

  @Text({ help: 'Name for people.', max: 255, example: 'Pro features' })
  name!: string;

  @Text({ help: 'What it grants.', max: 1000, nullable: true, example: null })
  description!: string | null;
}

export class EntitlementsQuery extends PageQuery {
  @Text({ help: 'Only the entitlement with this code.', max: 100, optional: true, example: 'pro' })
  code?: string;

  @Text({ help: 'Only entitlements whose name or code contains this, whatever the case.', max: 255, optional: true, example: 'pro' })
  q?: string;
}

export function toEntitlementView(row: Entitlement, environment: EnvironmentName): EntitlementView {
  return { ...resourceFields(row, environment), code: row.code, name: row.name, description: row.description };
}
