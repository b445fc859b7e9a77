import { AuditActorView } from '../audit/audit.dto.js';
import { AnyObject, Choice, Id, Nested, Text, Timestamp } from '../core/fields.js';
import type { EnvironmentName } from '../domain/api-key.js';
import { type EventType, eventTypes } from '../domain/events.js';
import type { Event } from '../generated/prisma/client.js';

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
    example: { object: { id: '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e', status: 'suspended' }, previous: { status: 'active' } },
  })
  data!: object;

  @Nested(() => AuditActorView, { help: 'Who did it.' })
  actor!: AuditActorView;

  @Text({
    help: 'Of the request that did it; null = none did.',
    max: 128,
    nullable: true,
    example: '0198c5f6-7c1e-7a60-9d9b-0f4a3c1b2d3e',
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
