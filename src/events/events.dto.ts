import { AuditActorView } from '../audit/audit.dto.js';
import { AnyObject, Choice, Id, Nested, Text, Timestamp } from '../core/fields.js';
import { PageQuery } from '../core/page.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { eventResources, type EventType, eventTypes } from '../domain/events.js';
import type { Event } from '../generated/prisma/client.js';

const EXAMPLE_ID = '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e';
const PATTERN = '[a-z_]+\\.([a-z_]+|\\*)';
const RESOURCE_FILTER = new RegExp(`^(${eventResources.join('|')})(:[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})?$`);

export class EventsQuery extends PageQuery {
  @Text({
    help: 'Only events of this type, or with `.*` at the end of every type that begins like this; several with commas between.',
    max: 1000,
    pattern: new RegExp(`^${PATTERN}(,${PATTERN})*$`),
    patternHelp: 'must be a type like license.created, the beginning of some like license.*, or several with commas between',
    optional: true,
    example: 'license.*,machine.dead',
  })
  type?: string;

  @Text({
    help: `Only what happened to this, as \`type\` or \`type:id\`; the type is one of ${eventResources.join(', ')}.`,
    max: 100,
    pattern: RESOURCE_FILTER,
    patternHelp: `must be type or type:id; the type is one of ${eventResources.join(', ')}`,
    optional: true,
    example: `license:${EXAMPLE_ID}`,
  })
  resource?: string;

  @Timestamp({ help: 'Only what was written at this time or later.', optional: true })
  from?: Date;

  @Timestamp({ help: 'Only what was written before this.', optional: true })
  to?: Date;
}

/** One thing that happened, as it is told everywhere: in lists, deliveries and streams (contract: webhooks.md, "Events"). */
export class EventView {
  @Id({ help: 'UUID v7.' })
  id!: string;

  @Choice(eventTypes, { help: 'What happened.', example: 'license.suspended' })
  type!: EventType;

  @Timestamp({ help: 'When it was written.' })
  createdAt!: Date;

  @Timestamp({ help: "When it happened: by the test clock of the license that it is about, else `createdAt`'s time." })
  occurredAt!: Date;

  @Choice(['live', 'test'], { help: 'The environment in which it happened.' })
  environment!: EnvironmentName;

  @AnyObject({
    help: '`object` is the resource as it is since, or was when it went; of a change `previous` has the fields that changed, as they were; of an attachment `entitlement` says which. Never with a key or a secret.',
    example: { object: { id: EXAMPLE_ID, status: 'suspended' }, previous: { status: 'active' } },
  })
  data!: object;

  @Nested(() => AuditActorView, { help: 'Who did it.' })
  actor!: AuditActorView;

  @Text({
    help: 'Of the request that did it; null = none did.',
    max: 128,
    nullable: true,
    example: EXAMPLE_ID,
  })
  requestId!: string | null;
}

export function toEventView(row: Event, environment: EnvironmentName): EventView {
  return {
    id: row.id,
    type: row.type as EventType,
    createdAt: row.createdAt,
    occurredAt: row.occurredAt ?? row.createdAt,
    environment,
    data: row.data as object,
    actor: { type: row.actorType as AuditActorView['type'], id: row.actorId },
    requestId: row.requestId,
  };
}
