import type { EnvironmentName } from '../domain/api-key.js';
import type { Metadata } from '../domain/metadata.js';
import { Choice, Id, MetadataField, Timestamp } from './fields.js';

/** What every resource answers (contract: http.md, "Every resource"). */
export class ResourceView {
  @Id({ help: 'UUID v7: sorts by time of creation.' })
  id!: string;

  @Choice(['live', 'test'], { help: 'The environment that it belongs to.' })
  environment!: EnvironmentName;

  @MetadataField()
  metadata!: Metadata;

  @Timestamp({ help: 'When it was created.' })
  createdAt!: Date;

  @Timestamp({ help: 'When it was last changed by a request.' })
  updatedAt!: Date;
}

interface ResourceRow {
  id: string;
  metadata: unknown;
  createdAt: Date;
  updatedAt: Date;
}

/** The common fields of a row. */
export function resourceFields(row: ResourceRow, environment: EnvironmentName): ResourceView {
  return { id: row.id, environment, metadata: row.metadata as Metadata, createdAt: row.createdAt, updatedAt: row.updatedAt };
}
