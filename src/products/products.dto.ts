import { PartialType } from '@nestjs/swagger';
import { Integer, MetadataField, Text, Url } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import { ResourceView, resourceFields } from '../core/resource.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { DEFAULT_KEY_PREFIX, KEY_PREFIX_PATTERN } from '../domain/license-key.js';
import type { Metadata } from '../domain/metadata.js';
import type { Product } from '../generated/prisma/client.js';

export class CreateProductBody {
  @Text({ help: 'Name of the product.', max: 255, example: 'Acme Editor' })
  name!: string;

  @Text({
    help: 'Short code, unique in the environment whatever its case.',
    max: 50,
    pattern: /^[A-Za-z0-9_-]+$/,
    patternHelp: 'must be letters, digits, _ and -',
    example: 'acme-editor',
  })
  code!: string;

  @Text({ help: 'What it is.', max: 1000, optional: true, nullable: true, default: null, example: 'The editor for people who care.' })
  description?: string | null;

  @Url({ help: 'Its page.', optional: true, nullable: true, default: null })
  url?: string | null;

  @Text({
    help: 'What generated license keys begin with.',
    min: 2,
    max: 10,
    pattern: KEY_PREFIX_PATTERN,
    patternHelp: 'must be 2 to 10 upper-case letters',
    optional: true,
    default: DEFAULT_KEY_PREFIX,
    example: 'ACME',
  })
  keyPrefix?: string;

  @MetadataField({ optional: true, default: {} })
  metadata?: Metadata;
}

export class UpdateProductBody extends PartialType(CreateProductBody, { skipNullProperties: false }) {}

export class ProductView extends ResourceView {
  @Text({ help: 'Name of the product.', max: 255, example: 'Acme Editor' })
  name!: string;

  @Text({ help: 'Short code, unique in the environment.', max: 50, example: 'acme-editor' })
  code!: string;

  @Text({ help: 'What it is.', max: 1000, nullable: true, example: null })
  description!: string | null;

  @Url({ help: 'Its page.', nullable: true })
  url!: string | null;

  @Text({ help: 'What generated license keys begin with.', max: 10, example: 'ACME' })
  keyPrefix!: string;

  @Integer({ help: 'Licenses of the product that are not deleted; a segment key counts its own.', example: 42 })
  licensesCount!: number;
}

export class ProductsQuery extends PageQuery {
  @Text({ help: 'Only the product with this code, whatever its case.', max: 50, optional: true, example: 'acme-editor' })
  code?: string;

  @Text({ help: 'Only products whose name or code contains this, whatever the case.', max: 255, optional: true, example: 'edit' })
  q?: string;
}

export function toProductView(row: Product, environment: EnvironmentName): ProductView {
  return {
    ...resourceFields(row, environment),
    name: row.name,
    code: row.code,
    description: row.description,
    url: row.url,
    keyPrefix: row.keyPrefix,
    licensesCount: row.licensesCount,
  };
}
