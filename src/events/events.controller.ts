import { Controller, Get, Query } from '@nestjs/common';
import { ApiOperation, ApiTags } from '@nestjs/swagger';
import { Requires } from '../auth/access.js';
import { Caller, type VendorPrincipal } from '../auth/principal.js';
import { PathId } from '../core/identifier.js';
import { AnswersOne, AnswersPage } from '../core/openapi.js';
import { EventsQuery, EventView } from './events.dto.js';
import { EventsService } from './events.service.js';

@ApiTags('Events')
@Controller('api/v1/events')
export class EventsController {
  constructor(private readonly events: EventsService) {}

  @Get()
  @Requires('events:read')
  @AnswersPage(EventView)
  @ApiOperation({
    summary: 'List what happened',
    description:
      'Newest first. An event is written by the very transaction that makes the change, and kept for `EVENT_RETENTION_DAYS` (30). To follow what happens, use a webhook or a stream: whoever asks here again and again may meet an event that was written before others and committed after them.',
  })
  list(@Caller() { tenant }: VendorPrincipal, @Query() query: EventsQuery) {
    return this.events.list(tenant, query);
  }

  @Get(':id')
  @Requires('events:read')
  @AnswersOne(EventView)
  @ApiOperation({ summary: 'Get an event' })
  get(@Caller() { tenant }: VendorPrincipal, @PathId() id: string) {
    return this.events.get(tenant, id);
  }
}
